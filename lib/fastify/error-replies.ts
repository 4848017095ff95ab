import {
  CheckConstraintViolationException, ConnectionException, DeadlockException, DriverException, ForeignKeyConstraintViolationException,
  LockWaitTimeoutException, NotFoundError, NotNullConstraintViolationException, OptimisticLockError,
  RowLevelSecurityViolationException, UniqueConstraintViolationException, ValidationError
} from '@mikro-orm/core'
import type { FastifyReply } from 'fastify'
import { STATUS_CODES } from 'node:http'
import { isErrorOfDriver, isTransient } from '../drivers/errors.ts'

/** What the database, its driver and MikroORM throw: the status that fits, and what a client may know of it. */

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

interface Decorated {
  code?: unknown
  statusCode?: unknown
  status?: unknown
}

/**
 * Whether its message is for the log only: it may name SQL, values, tables or constraints. That is so of whatever
 * MikroORM, Kysely or a driver has made, and of errors of this plugin that speak of statements or databases. What the app
 * itself throws is its own affair, also when MikroORM has called it.
 */
export function isForTheLogOnly (error: unknown): error is Error {
  return error instanceof Error && (isOfDatabase(error) || 'sqlMessage' in error || NAMES_DATABASES.test(String((error as Decorated).code)) || MADE_BY_DATABASE.test(placeOf(error)))
}

const NAMES_DATABASES = /^FST_ORM_(?:TRANSACTION_FAILED|PARTIAL_COMMIT|UNKNOWN_DATABASE)$/

/**
 * MikroORM 7.2 throws many a plain `Error`, and drivers are called by others than contexts, too. (Where all modules are
 * bundled into one file, that cannot be seen.)
 */
const MADE_BY_DATABASE = /[\\/]node_modules[\\/](?:@mikro-orm|kysely|pg|pg-pool|pg-protocol|better-sqlite3|mysql2|mariadb|@?libsql|@electric-sql|tedious|oracledb)[\\/]/

/** The file and line where an error was made, by the first frame of its stack that has one. */
function placeOf ({ stack }: Error): string {
  return /^ +at .*[\\/].*$/m.exec(String(stack).replace(/^ +at .*(?:\(<anonymous>\)|[ (]node:.*)$/gm, ''))?.[0] ?? ''
}

/** Sets the status that fits an exception of the database, unless somebody has set one. */
export function setStatus (reply: FastifyReply, error: unknown): void {
  if (error instanceof Error && (error as Decorated).code === 'FST_ORM_NOT_RETRIABLE') reply.header('retry-after', RETRY_AFTER) // by the client
  if (!(error instanceof Error) || !isOfDatabase(error)) return
  const { statusCode, status } = error as Decorated
  const fitting = statusOf(error)
  if (fitting === undefined || reply.statusCode >= 400 || statusCode !== undefined || status !== undefined) return
  reply.code(fitting)
  if (fitting === 503) reply.header('retry-after', RETRY_AFTER)
}

/** What Fastify's own reply says of an error: of one that is for the log only, the name of the status, and our codes. */
export function shownError (error: unknown, statusCode: number): unknown {
  if (!isForTheLogOnly(error)) return error
  const shown = new Error(STATUS_CODES[statusCode] ?? 'Error')
  delete shown.stack // a response schema may ask for it
  const { code } = error as Decorated
  return /^FST_/.test(String(code)) ? Object.assign(shown, { code }) : shown
}

function isOfDatabase (error: Error): boolean {
  return error instanceof DriverException || error instanceof ValidationError || isErrorOfDriver(error)
}

function statusOf (error: Error & Decorated): number | undefined {
  const known = STATUS_OF.find(([type]) => error instanceof type)
  if (known !== undefined) return known[1]
  return isTransient(error) && (error instanceof DriverException || isErrorOfDriver(error)) ? 503 : undefined
}
