import type { MikroORM } from '@mikro-orm/postgresql'
import { runInContext } from 'fastify-context-orm'
import { attemptJob, type AttemptOptions, type Handler } from './attempt.ts'
import { pause } from './pause.ts'
import { claimJob } from './queue.ts'

export interface WorkerOptions extends Partial<AttemptOptions> {
  /** By the kind of job; jobs of other kinds are left to other workers. */
  handlers: Record<string, Handler>
  /** Stops the worker, after the job that it is working on. */
  signal: AbortSignal
  /** How many milliseconds a worker without work waits before it looks again. */
  pollInterval?: number
  /** After so many milliseconds, the job of a worker that has died is another's. Longer than the timeout. */
  lease?: number
  /** What is wrong with the database, such as that it cannot be reached. */
  onError?: (error: unknown) => void
}

/** Works on one job after the other; as many as should be worked on at once need as many workers. */
export async function worker (orm: MikroORM, { signal, ...options }: WorkerOptions): Promise<void> {
  const { pollInterval = 1000, timeout = 30_000, lease = 2 * timeout, onError = console.error } = options
  const { handlers, maxAttempts = 5, backoff = exponential } = options
  const attemptOptions = { handlers, maxAttempts, backoff, timeout }
  const kinds = Object.keys(options.handlers)

  while (!signal.aborted) {
    try {
      const job = await runInContext({ orm, name: 'claim of a job' }, () => claimJob(kinds, lease))
      if (job === undefined) await pause(pollInterval, signal)
      else await attemptJob(orm, job, attemptOptions)
    } catch (error) {
      // a database that is away for a while must not end the worker; its job is tried again when the lease is over
      onError(error)
      await pause(pollInterval, signal)
    }
  }
}

/** 1 s, 2 s, 4 s …, and up to half as much again, so that jobs which failed together are not tried again together. */
function exponential (attempts: number): number {
  return 1000 * 2 ** (attempts - 1) * (1 + Math.random() / 2)
}
