import { LockMode, type EntityData, type InferEntity } from '@mikro-orm/core'
import { em } from 'fastify-context-orm'
import { Job, type ClaimedJob } from './entities.ts'

/** Part of the context that it is called in: a request that is rolled back has put no job into the queue. */
export function enqueue (kind: string, payload: unknown) {
  return em().create(Job, { kind, payload })
}

/**
 * The next job of those kinds, if there is one; others cannot have it for `lease` milliseconds.
 *
 * The attempt is committed before it begins. So it counts even if it takes the process down with it, nobody else takes
 * the job between the roll back of an attempt and the record of its failure, and no row stays locked while a job runs.
 */
export async function claimJob (kinds: string[], lease: number): Promise<ClaimedJob | undefined> {
  const job = await em().findOne(Job, { kind: kinds, state: 'waiting', runAt: { $lte: new Date() } }, {
    orderBy: { runAt: 'asc', id: 'asc' },
    lockMode: LockMode.PESSIMISTIC_PARTIAL_WRITE
  })
  if (job === null) return undefined
  job.attempts += 1
  job.runAt = new Date(Date.now() + lease)
  return job
}

/** Throws if others have the job by now: what this attempt has done must be rolled back then. */
export async function completeJob (job: ClaimedJob) {
  if (!await settle(job, { state: 'done', finishedAt: new Date(), lastError: null })) {
    throw new Error(`Attempt ${job.attempts} has outlived its lease`)
  }
}

export async function retryJob (job: ClaimedJob, delay: number, lastError: string) {
  await settle(job, { runAt: new Date(Date.now() + delay), lastError })
}

export async function giveUpJob (job: ClaimedJob, lastError: string) {
  await settle(job, { state: 'failed', finishedAt: new Date(), lastError })
}

/** The database compares: only the latest attempt at a job decides what becomes of it, and only once. */
async function settle ({ id, attempts }: ClaimedJob, changes: EntityData<InferEntity<typeof Job>>) {
  return await em().nativeUpdate(Job, { id, attempts, state: 'waiting' }, changes) === 1
}
