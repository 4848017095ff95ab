import { channel, type Channel } from 'node:diagnostics_channel'
import type { Ending, Outcome } from './settlement.ts'

/** What the events say of a context. */
export interface ContextDescription {
  /** A request, a `runInContext()`, or one inside of another context. */
  kind: 'request' | 'run' | 'branch'
  /** Of a request. */
  method?: string | undefined
  /** Of a request, with parameters unfilled; `undefined` where no route was found. */
  route?: string | undefined
  /** Of a `runInContext()`. */
  name?: string | undefined
  /** Of the request, or of the one that it is part of. */
  requestId?: string | undefined
}

/** On `fastify-context-orm:begun`: a transaction has begun. */
export interface BegunEvent extends ContextDescription {
  /** The `contextName` of its MikroORM. */
  database: string
}

/** On `fastify-context-orm:settled`: a context has ended, once for each database that it has used. */
export interface SettledEvent extends BegunEvent {
  outcome: Outcome
  ending: Ending
  /** What made it fail, if it failed by an error. */
  error?: unknown
  /** Milliseconds from the first use of a database to the end. */
  duration: number
  /** Milliseconds for which transactions have held a connection. */
  held: number
  /** Statements that began with `select`. */
  reads: number
  /** All others, without those that begin and end transactions and savepoints. */
  writes: number
  /** Flushes that had something to write. */
  flushes: number
}

/** On `fastify-context-orm:failed`: something has failed after the outcome was decided, and is in the log as well. */
export interface FailedEvent extends ContextDescription {
  message: string
  error: unknown
}

/** Nothing is made for them as long as nobody has subscribed. */
export const begun: Channel = channel('fastify-context-orm:begun')
export const settled: Channel = channel('fastify-context-orm:settled')
export const failed: Channel = channel('fastify-context-orm:failed')
