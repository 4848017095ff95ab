import type { FastifyBaseLogger } from 'fastify'
import type { Statistics } from '../transaction/statistics.ts'
import type { ContextDescription } from './context-description.ts'
import { settled, type SettledEvent } from './events.ts'
import type { Settlement } from './settlement.ts'

export interface SettledContext {
  readonly name: string
  readonly log: FastifyBaseLogger | undefined
  readonly warnHeldMs: number
  readonly description: ContextDescription
  readonly attempts: { readonly count: number } | undefined
}

interface SettledScope {
  readonly name: string
  /** Those that had something to write. */
  readonly flushCount: number
  readonly transaction: { readonly statistics: Statistics }
}

/**
 * Tells subscribers and the log what has become of each database of a context, and warns of connections that were held for long.
 * `openedAt` is when the first was used, by `performance.now()`.
 */
export function tellOfSettlement (context: SettledContext, scopes: readonly SettledScope[], { ending, outcome }: Settlement, openedAt: number, error: unknown): void {
  const { name, log, warnHeldMs } = context
  const isPublished = settled.hasSubscribers || logsDebug(log)
  for (const scope of scopes) {
    const { held, waited, reads, writes } = scope.transaction.statistics
    if (held > warnHeldMs) log?.warn(`${name} has held a connection to "${scope.name}" for ${Math.round(held)} ms by its transaction. Do what is slow before the first write, or after commit()`)
    if (!isPublished) continue
    const event: SettledEvent = {
      ...context.description,
      database: scope.name,
      outcome: outcome!,
      ending: ending!,
      error,
      duration: performance.now() - openedAt,
      held,
      waited,
      reads,
      writes,
      flushes: scope.flushCount,
      attempts: context.attempts?.count ?? 1
    }
    settled.publish(event)
    const { error: err, ...rest } = event
    log?.debug({ ...rest, err }, `${name} has settled`)
  }
}

function logsDebug (log: FastifyBaseLogger | undefined): boolean {
  return log !== undefined && (log.level === 'debug' || log.level === 'trace')
}
