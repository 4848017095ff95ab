import {
  CheckConstraintViolationException, ConnectionException, DeadlockException, DriverException, ForeignKeyConstraintViolationException,
  LockWaitTimeoutException, NotFoundError, NotNullConstraintViolationException, OptimisticLockError,
  RowLevelSecurityViolationException, UniqueConstraintViolationException, ValidationError
} from '@mikro-orm/core'
import { STATUS_CODES } from 'node:http'

/** What MikroORM throws, as replies show it: with the status that fits, and without what is nobody's business. */

const STATUS_OF: [type: abstract new (...args: never) => Error, statusCode: number][] = [
  [UniqueConstraintViolationException, 409],
  [ForeignKeyConstraintViolationException, 409],
  [OptimisticLockError, 409],
  [NotFoundError, 404],
  [CheckConstraintViolationException, 422],
  [NotNullConstraintViolationException, 422],
  [RowLevelSecurityViolationException, 403],
  [DeadlockException, 503],
  [LockWaitTimeoutException, 503],
  [ConnectionException, 503]
]

/** Seconds after which a client may try again what was answered with 503. */
const RETRY_AFTER = '1'

/**
 * What may work the next time, and MikroORM 7.2.1 takes for a `DriverException` without a name: PostgreSQL's classes of
 * lost connections and of a server that stops or starts (SQLSTATE 08, 57P), its lock timeout (55P03), and what Node and
 * pg 8.23 say of sockets.
 */
const TRY_AGAIN = /^(?:08...|57P0[1-3]|55P03|ECONNREFUSED|ECONNRESET|EPIPE|ETIMEDOUT)$/
const LOST_CONNECTION_MESSAGE = /\bConnection terminated|\bconnection error and is not queryable|\bConnection lost\b/

interface Decorated {
  code?: unknown
  statusCode?: unknown
  status?: unknown
  headers?: unknown
}

/** What drivers have thrown, of which `em.getKysely()` makes no exceptions of MikroORM. */
const ofDrivers = new WeakSet<object>()

/** A statement of a context has thrown it. */
export function noteErrorOfDriver (error: unknown): void {
  if (error instanceof Error) ofDrivers.add(error)
}

/** Whether its message may hold SQL, values, or names of tables and constraints. */
export function isOfDatabase (error: unknown): error is Error {
  return error instanceof DriverException || error instanceof ValidationError || ofDrivers.has(error as object)
}

/** Gives it the status that fits, unless it has one, where Fastify and error handlers look for it. */
export function giveStatus (error: Error & Decorated): void {
  if (error.statusCode !== undefined || error.status !== undefined) return
  const statusCode = statusOf(error)
  if (statusCode === undefined) return
  // not by assigning: an error may be frozen
  Reflect.defineProperty(error, 'statusCode', { value: statusCode, writable: true, configurable: true })
  if (statusCode !== 503 || error.headers !== undefined) return
  Reflect.defineProperty(error, 'headers', { value: { 'retry-after': RETRY_AFTER }, writable: true, configurable: true })
}

function statusOf (error: Error & Decorated): number | undefined {
  const known = STATUS_OF.find(([type]) => error instanceof type)
  if (known !== undefined) return known[1]
  const isTransient = TRY_AGAIN.test(String(error.code)) || LOST_CONNECTION_MESSAGE.test(error.message)
  return isTransient && (error instanceof DriverException || ofDrivers.has(error)) ? 503 : undefined
}

/**
 * What Fastify makes of an error when nobody answers it in words of his own: with the name of the status for a message, and
 * without whatever else the error has told, which a response schema may ask for.
 */
export function withoutInternals (payload: string, error: Error, statusCode: number, hasSchema: boolean): string {
  const reply = parse(payload)
  if (typeof reply !== 'object' || reply === null || Array.isArray(reply)) return payload
  const told = error as unknown as Record<string, unknown>
  const isFastifys = hasSchema || ('statusCode' in reply && Object.keys(reply).every(key => KEYS.includes(key)))
  const isTold = ([key, value]: [string, unknown]): boolean => (
    key !== 'statusCode' && value === told[key] && !(key === 'code' && String(value).startsWith('FST_'))
  )
  if (!isFastifys || !Object.entries(reply).some(isTold)) return payload
  const shown = Object.fromEntries(Object.entries(reply).filter(entry => !isTold(entry)))
  return JSON.stringify({ ...shown, ...('message' in reply && !('message' in shown) && { message: nameOf(statusCode) }) })
}

/** Of Fastify's own error replies without a response schema (5.12). */
const KEYS = ['statusCode', 'code', 'error', 'message']

/** What Fastify makes of an error of ours that names a statement, and that `onError` hooks are not told of. */
export function withoutStatement (payload: string, statusCode: number): string {
  if (!NAMES_A_STATEMENT.test(payload)) return payload
  return JSON.stringify({ ...parse(payload) as object, message: nameOf(statusCode) })
}

/** It begins as Fastify's own error replies do (5.12). */
const NAMES_A_STATEMENT = /^\{"statusCode":\d+,"code":"FST_ORM_(?:CONTEXT_ENDED|READ_ONLY|STREAM_OPEN)"/

function nameOf (statusCode: number): string {
  return STATUS_CODES[statusCode] ?? 'Error'
}

function parse (payload: string): unknown {
  try {
    return JSON.parse(payload)
  } catch {
    return undefined
  }
}
