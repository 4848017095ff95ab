import t from 'tap'
import { once } from 'node:events'
import { setTimeout } from 'node:timers/promises'
import { ReaderWatch } from '../../lib/transaction/reader-watch.ts'
import { until } from '../support/until.ts'

function watchFor (warnMs: number, timeoutMs: number): { watch: ReaderWatch, calls: string[] } {
  const calls: string[] = []
  const watch = new ReaderWatch({ warnMs, timeoutMs, onSlow: () => { calls.push('slow') }, onTimeout: () => { calls.push('timeout') } })
  return { watch, calls }
}

t.test('what comes first is called first, and each once', async t => {
  for (const [warnMs, timeoutMs, expected] of [[20, Infinity, ['slow']], [20, 60, ['slow', 'timeout']], [60, 20, ['timeout']], [Infinity, 20, ['timeout']]] as const) {
    const { watch, calls } = watchFor(warnMs, timeoutMs)
    watch.startWaiting()
    await until(() => calls.length === expected.length)
    await setTimeout(100) // in which another would come
    t.strictSame(calls, expected)
    watch.release()
  }
})

t.test('nothing is called of a reader that has asked for more, or of one that is gone', async t => {
  const { watch, calls } = watchFor(20, 40)
  await setTimeout(100)
  watch.startWaiting()
  watch.stopWaiting()
  await setTimeout(100)
  watch.startWaiting()
  watch.release()
  await setTimeout(100)
  t.strictSame(calls, [])
})

t.test('a time that is longer than a timer can be is one that is not over', async t => {
  const warned = once(process, 'warning')
  const { watch, calls } = watchFor(Infinity, 2 ** 40)
  watch.startWaiting()
  t.equal(await Promise.race([warned, setTimeout(50, 'none')]), 'none')
  t.strictSame(calls, [])
  watch.release()
})
