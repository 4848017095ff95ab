import { once } from 'node:events'
import { setTimeout } from 'node:timers/promises'
import { MessageChannel, receiveMessageOnPort, Worker } from 'node:worker_threads'
import pg from 'pg'

const DEADLINE_MS = 5000

/** Ends the backends that `condition` finds in `pg_stat_activity`, as soon as there is one. Resolves when they are gone. */
export async function terminateWhen (url: string, condition: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    const sql = `select pg_terminate_backend(pid, ${DEADLINE_MS}) as gone from pg_stat_activity
      where datname = current_database() and pid <> pg_backend_pid() and ${condition}`
    for (;;) {
      const { rows } = await client.query(sql)
      if (rows.some(({ gone }) => !gone)) throw new Error(`A backend has outlived its end: ${condition}`)
      if (rows.length > 0) return
      await setTimeout(1) // leaves the processor to what is waited for
    }
  } finally {
    await client.end()
  }
}

let worker: Promise<Worker> | undefined

/**
 * Ends a backend while the event loop stands still, so that nobody in this process can have noticed. A thread does it, that
 * stays for the next time: a process would take longer than the test.
 */
export async function terminateUnnoticed (url: string, pid: number): Promise<void> {
  worker ??= startWorker()
  const thread = await worker
  const { port1, port2 } = new MessageChannel()
  const done = new Int32Array(new SharedArrayBuffer(4))
  thread.postMessage({ url, pid, done, port: port2 }, [port2])
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
