import type { FastifyBaseLogger } from 'fastify'
import type { Dialect } from '../drivers/dialect.ts'
import type { ConnectionUser } from '../drivers/connection-wait.ts'
import type { Replica } from '../drivers/replicas/replica.ts'
import type { Freshness } from './freshness.ts'
import type { Beginning, StatementDescription } from './statement-description.ts'
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
  /** What it and its branches have to see; asked for only where there are replicas, or commits are tracked. */
  readonly freshness: Freshness
  /** Whether its commits are to say where they are: see `Replication`. */
  readonly tracksPositions: boolean
  /** Called after a stream was ended by `streamTimeout`. */
  onStreamTimeout (error: Error): void
  /** Logs what has failed after the outcome was decided. */
  report (error: unknown, message: string): void
  /** A statement is about to run in that transaction. Throws if it comes too late for what it is part of. */
  noteStatement (sql: string, dialect: Dialect, transaction: object): void
  /** What was written in that transaction is rolled back. */
  noteRollback (transaction: object): void
  /** What it has written is committed. */
  noteCommit (): void
  /** Its transaction has begun. */
  onBegun (beginning: Beginning): void
  /** A statement has ended, which somebody wants to know. */
  onStatement (statement: StatementDescription): void
  /** Resolves when nobody is committing or rolling back, unless the caller is part of that. */
  untilSettled (): Promise<void>
  /** Its transaction has gone back to a savepoint. */
  wentBackTo (savepoint: Savepoint): Promise<void>
}

/** Logs what is wrong with a database; outside of requests, as a warning of the process. */
export function warn ({ log }: TransactionOwner, database: string, problem: string): void {
  const message = `The database "${database}": ${problem}`
  if (log !== undefined) log.warn(message)
  else process.emitWarning(message, 'FastifyContextOrmWarning')
}

/** Says once that a replica cannot be read from at the moment. */
export function warnOfReplica (owner: TransactionOwner, database: string, replica: Replica): void {
  const problem = replica.takeProblem()
  if (problem !== undefined) warn(owner, database, `the replica "${replica.name}" is left out for some seconds (${problem})`)
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
    get freshness () { return context.freshness },
    tracksPositions: context.tracksPositions,
    warnHeldMs: context.warnHeldMs,
    streamTimeout: context.streamTimeout,
    onStreamTimeout: error => context.onStreamTimeout(error),
    hastenCommit: () => context.hastenCommit(),
    connectionsOf: () => 0,
    report: (error, message) => context.report(error, message),
    noteStatement () {},
    noteRollback () {},
    noteCommit: () => context.noteCommit(),
    onBegun () {},
    onStatement: statement => context.onStatement(statement),
    async untilSettled () {},
    async wentBackTo () {}
  }
}
