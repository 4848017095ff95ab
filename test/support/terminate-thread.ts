import { parentPort } from 'node:worker_threads'
import { terminateWhen } from './terminate.ts'

/** The thread of `terminateUnnoticed()`. */
parentPort!.on('message', async ({ url, pid, done, port }) => {
  let error: unknown
  try {
    await terminateWhen(url, `pid = ${pid}`)
  } catch (thrown) {
    error = thrown
  }
  port.postMessage({ error })
  Atomics.store(done, 0, 1)
  Atomics.notify(done, 0)
})
parentPort!.postMessage('ready')
