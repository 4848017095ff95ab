import { channel, type Channel } from 'node:diagnostics_channel'
import type { Beginning, StatementDescription } from '../transaction/statement-description.ts'
import type { HookKind } from './commit-hooks.ts'
import type { ContextDescription } from './context-description.ts'
import type { ContextView } from './context-view.ts'
import type { Ending, Outcome } from './settlement.ts'

/** On `fastify-context-orm:begun`: a transaction has begun. */
export interface BegunEvent extends ContextDescription, Beginning {
  /** The context as it is at the moment, also later. */
  context: ContextView
}

/** On `fastify-context-orm:statement`: a statement has ended. */
export interface StatementEvent extends StatementDescription {
  /** The context that it is of, as it is at the moment, also later. */
  context: ContextView
}

/** On `fastify-context-orm:settled`: a context has ended, once for each database that it has used. */
export interface SettledEvent extends ContextDescription {
  /** The `contextName` of its MikroORM. */
  database: string
  outcome: Outcome
  ending: Ending
  /** What made it fail, if it failed by an error. */
  error?: unknown
  /** Milliseconds from the first use of a database to the end. */
  duration: number
  /** Milliseconds for which transactions have held a connection. */
  held: number
  /** Milliseconds for which statements have waited for a connection of the pool, all together. */
  waited: number
  /** Statements that began with `select`. */
  reads: number
  /** All others, without those that begin and end transactions and savepoints. */
  writes: number
  /** Flushes that had something to write. */
  flushes: number
  /** Which attempt at its work it was: 1, unless that has `retry`. */
  attempts: number
}

/** On `fastify-context-orm:failed`: something has failed after the outcome was decided, and is in the log as well. */
export interface FailedEvent extends ContextDescription {
  message: string
  error: unknown
}

/** On `fastify-context-orm:hook`: a `beforeCommit()`, `afterCommit()` or `afterRollback()` has run. */
export interface HookEvent extends ContextDescription {
  hook: HookKind
  /** The name of the function, which may be empty. */
  function: string
  /** Milliseconds from its call to its end. */
  duration: number
  /** What it has failed with, if it has. */
  error?: unknown
  /** The context as it is at the moment, also later. */
  context: ContextView
}

/** What is published on which channel of `node:diagnostics_channel`. */
export interface ContextOrmChannels {
  'fastify-context-orm:begun': BegunEvent
  'fastify-context-orm:statement': StatementEvent
  'fastify-context-orm:settled': SettledEvent
  'fastify-context-orm:failed': FailedEvent
  'fastify-context-orm:hook': HookEvent
}

/** Nothing is made for them as long as nobody has subscribed. */
export const begun: Channel = channel('fastify-context-orm:begun')
export const settled: Channel = channel('fastify-context-orm:settled')
export const failed: Channel = channel('fastify-context-orm:failed')
export const hooks: Channel = channel('fastify-context-orm:hook')
