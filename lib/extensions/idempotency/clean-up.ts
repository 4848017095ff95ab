import { LockMode } from '@mikro-orm/core'
import type { FastifyInstance } from 'fastify'
import { em, runInContext, type RunOptions } from '../../../index.ts'
import { checkOptions, type Check } from '../../options/check-options.ts'
import { IdempotencyKey } from './entity.ts'
import { cleaned, type CleanedEvent } from './events.ts'

/** What `deleteExpiredKeys()` takes. */
export interface CleanUpOptions {
  /** The database that keeps the keys. Default: the first of the context around it; outside of one, it is required. */
  orm?: RunOptions['orm']
  /** How many are deleted in one transaction. Default: 1000. */
  batch?: number | undefined
  /** Ends it; what is deleted by then stays so. It rejects with the signal's reason. */
  signal?: AbortSignal | undefined
}

const NAME = 'deleteExpiredKeys()'
const OPTIONS: Record<Exclude<keyof CleanUpOptions, 'orm' | 'signal'>, Check> = {
  batch: ['a whole number, 1 or more', value => Number.isInteger(value) && value >= 1]
}

/**
 * Deletes the keys that are too old, with their replies, in transactions of its own; several at once do not wait for each other.
 * Resolves with how many there were. Throws as `runInContext()` does.
 */
export async function deleteExpiredKeys ({ orm, signal, ...options }: CleanUpOptions = {}): Promise<number> {
  checkOptions(NAME, options, OPTIONS)
  const { batch = 1000 } = options
  const startedAt = performance.now()
  let deleted = 0
  for (let count = batch; count === batch; deleted += count) {
    count = await runInContext({ orm, signal, name: NAME }, () => deleteBatch(batch))
  }
  if (cleaned.hasSubscribers) cleaned.publish({ deleted, duration: performance.now() - startedAt } satisfies CleanedEvent)
  return deleted
}

/** Those that others delete or take over at the moment are none of its business. */
async function deleteBatch (limit: number): Promise<number> {
  const isExpired = { expiresAt: { $lte: Date.now() } }
  const expired = await em().find(IdempotencyKey, isExpired, {
    fields: ['id'], limit, orderBy: { expiresAt: 'asc' }, lockMode: LockMode.PESSIMISTIC_PARTIAL_WRITE, disableIdentityMap: true, filters: false
  })
  if (expired.length === 0) return 0
  return await em().nativeDelete(IdempotencyKey, { id: { $in: expired.map(({ id }) => id) } }, { filters: false })
}

/** Again and again, until the app closes. A clean-up that fails is in the log, and the next one tries again. */
export function cleanUpRegularly (fastify: FastifyInstance, every: number, orm: () => NonNullable<RunOptions['orm']>): void {
  const closing = new AbortController()
  let cleaning: Promise<unknown> | undefined
  const cleanUp = (): void => {
    cleaning ??= deleteExpiredKeys({ orm: orm(), signal: closing.signal })
      .catch(error => { if (!closing.signal.aborted) fastify.log.error({ err: error }, 'Idempotency keys that are too old could not be deleted') })
      .finally(() => { cleaning = undefined })
  }
  let timer: NodeJS.Timeout | undefined
  fastify.addHook('onReady', async () => { timer = setInterval(cleanUp, every).unref() })
  fastify.addHook('preClose', async () => {
    clearInterval(timer)
    closing.abort()
    await cleaning
  })
}
