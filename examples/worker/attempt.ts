import type { MikroORM } from '@mikro-orm/postgresql'
import { runInContext } from 'fastify-context-orm'
import type { ClaimedJob } from './entities.ts'
import { completeJob, giveUpJob, retryJob } from './queue.ts'

/** Does the work of a job, in a context whose commit makes it final. The signal is aborted when its time is up. */
export type Handler = (payload: any, signal: AbortSignal) => unknown

export interface AttemptOptions {
  handlers: Record<string, Handler>
  /** How often a job is tried before it has failed. */
  maxAttempts: number
  /** How many milliseconds an attempt may take. */
  timeout: number
  /** How many milliseconds pass before the next attempt. */
  backoff: (attempts: number) => number
}

/** Commits what the handler does together with the end of the job, or records why it could not. */
export async function attemptJob (orm: MikroORM, job: ClaimedJob, { handlers, maxAttempts, timeout, backoff }: AttemptOptions): Promise<void> {
  const name = `job ${job.id} (${job.kind})`
  const signal = AbortSignal.timeout(timeout)
  try {
    await runInContext({ orm, name, signal }, async () => {
      if (job.attempts > maxAttempts) throw new Error('The last attempt has ended without a record: its worker must have died')
      await handlers[job.kind]!(job.payload, signal)
      await completeJob(job)
    })
  } catch (error) {
    // the context of the attempt is rolled back, so this needs one of its own
    await runInContext({ orm, name: `failure of ${name}` }, async () => {
      if (job.attempts < maxAttempts) await retryJob(job, backoff(job.attempts), String(error))
      else await giveUpJob(job, String(error))
    })
  }
}
