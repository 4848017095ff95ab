import type { FastifyBaseLogger } from 'fastify'
import type { ConnectionUser } from '../drivers/connection-wait.ts'
import type { Savepoint } from './savepoint.ts'

/** The context that a transaction belongs to. */
export interface TransactionOwner extends ConnectionUser {
  /** What became of it, once it has ended. */
  readonly outcome?: string | undefined
  /** It was ended because nobody waits for it any more. */
  readonly isAborted: boolean
  readonly log?: FastifyBaseLogger | undefined
  /** Milliseconds after which it is worth a warning that a stream keeps its connection for a reader that does not read on. */
  readonly warnHeldMs: number
  /** Milliseconds after which such a stream is ended. */
  readonly streamTimeout: number
  /** One was. */
  onStreamTimeout (error: Error): void
  /** Logs what has failed after the outcome was decided. */
  report (error: unknown, message: string): void
  /** A statement that is not provably a read is run. */
  noteWrite (): void
  /** Its transaction has begun, on the database of that name. */
  onBegun (database: string): void
  /** Resolves when nobody is committing or rolling back, unless the caller is part of that. */
  untilSettled (): Promise<void>
  /** Its transaction has gone back to a savepoint. */
  wentBackTo (savepoint: Savepoint): Promise<void>
}

/** For a transaction that is independent of that of its context: how the one ends is none of the other's business. */
export function ownerOfIndependent (context: TransactionOwner): TransactionOwner {
  return {
    name: context.name,
    parent: context,
    get caller () { return context.caller },
    get outcome () { return context.outcome },
    get isAborted () { return context.isAborted },
    get log () { return context.log },
    warnHeldMs: context.warnHeldMs,
    streamTimeout: context.streamTimeout,
    onStreamTimeout: error => context.onStreamTimeout(error),
    hastenCommit: () => context.hastenCommit(),
    connectionsOf: () => 0,
    report: (error, message) => context.report(error, message),
    noteWrite () {},
    onBegun () {},
    async untilSettled () {},
    async wentBackTo () {}
  }
}
