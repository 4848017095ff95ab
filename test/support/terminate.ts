import { once } from 'node:events'
import { MessageChannel, receiveMessageOnPort, Worker } from 'node:worker_threads'
import type { TestPool } from './databases.ts'
import { untilOne, type Is } from './server-connections.ts'

/** Ends a connection, as soon as there is such a one. Resolves when it is gone. */
export async function terminateWhen (database: TestPool, is: Is): Promise<void> {
  const { id } = await untilOne(database, is)
  await database.kill(id)
}

let worker: Promise<Worker> | undefined

/**
 * Ends a connection while the event loop stands still, so that nobody in this process can have noticed. A thread does it, that
 * stays for the next time: a process would take longer than the test.
 */
export async function terminateUnnoticed ({ orm }: Pick<TestPool, 'orm'>, id: number): Promise<void> {
  worker ??= startWorker()
  const thread = await worker
  const { port1, port2 } = new MessageChannel()
  const done = new Int32Array(new SharedArrayBuffer(4))
  thread.postMessage({ url: orm.config.get('clientUrl'), id, done, port: port2 }, [port2])
  Atomics.wait(done, 0, 0)
  const { error } = receiveMessageOnPort(port1)!.message
  port1.close()
  if (error !== undefined) throw error
}

async function startWorker (): Promise<Worker> {
  // without what tap loads into each of its processes
  const worker = new Worker(new URL('terminate-thread.ts', import.meta.url), { execArgv: [], env: { ...process.env, NODE_OPTIONS: '' } })
  await once(worker, 'message')
  worker.unref()
  return worker
}
