import { em, runInContext } from '../../index.ts'
import { runningContexts } from '../../lib/context/running-contexts.ts'
import { conflict } from '../support/conflict.ts'
import { Book, onEachDatabase } from '../support/databases.ts'

onEachDatabase('a context that is attempted again has one place among those that run, and takes none from others', async (t, { orm, kind }) => {
  const before = new Set(runningContexts(() => true))
  const names = (): string[] => runningContexts(context => !before.has(context)).map(({ name }) => name)
  const end = Promise.withResolvers<void>()
  const start = async (name: string): Promise<{ ended: Promise<void> }> => {
    const used = Promise.withResolvers<void>()
    const ended = runInContext({ orm, name }, async () => {
      await em().count(Book)
      used.resolve()
      await end.promise
    })
    await used.promise
    return { ended }
  }
  const first = await start('first')
  const [used, last] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  let runs = 0
  const retried = runInContext({ orm, name: 'retried', retry: 3 }, async () => {
    await em().count(Book)
    used.resolve()
    await last.promise
    t.strictSame(names(), ['first', 'retried', 'last'], `attempt ${++runs}`)
    if (runs < 3) await conflict(kind)
  })
  await used.promise
  const { ended } = await start('last')
  last.resolve()
  await retried
  t.equal(runs, 3)
  t.strictSame(names(), ['first', 'last'])
  end.resolve()
  await Promise.all([first.ended, ended])
  t.strictSame(names(), [])
})
