import * as mysql from './mysql/errors.ts'
import * as postgresql from './postgresql/errors.ts'
import * as sqlite from './sqlite/errors.ts'

/** What the errors of drivers mean, whichever driver it is: their codes do not meet. */

/** What Node says of sockets. */
const SOCKET = /^(?:ECONNREFUSED|ECONNRESET|EPIPE|ETIMEDOUT)$/

const UNREACHABLE = /^(?:EHOSTUNREACH|EHOSTDOWN|ENETUNREACH|ENOTFOUND|EAI_AGAIN)$/

/** What drivers have thrown, of which `em.getKysely()` makes no exceptions of MikroORM. */
const ofDrivers = new WeakSet<object>()

/** A statement of a context has thrown it. */
export function noteErrorOfDriver (error: unknown): void {
  if (error instanceof Error) ofDrivers.add(error)
}

export function isErrorOfDriver (error: Error): boolean {
  return ofDrivers.has(error)
}

/** The server has said with it that it closes the connection. */
export function isClosing (error: unknown): boolean {
  return error instanceof Error && (postgresql.isClosing(codeOf(error)) || mysql.isClosing(errnoOf(error)))
}

/** There is no going on with the transaction in which it came, nor back to a savepoint: the database may have ended it. */
export function endsTransaction (error: unknown): boolean {
  return error instanceof Error && mysql.endsTransaction(errnoOf(error))
}

/** The transaction in which it came was rolled back because of others, and may work when all of it is run again. */
export function isRetriable (error: unknown): boolean {
  return error instanceof Error && (postgresql.isRetriable(codeOf(error)) || mysql.endsTransaction(errnoOf(error)) || sqlite.isRetriable(codeOf(error)))
}

/** The server has closed the connection, or there is no server any more at the other end. */
export function isLost (error: unknown): boolean {
  return error instanceof Error && (SOCKET.test(codeOf(error)) || postgresql.isLost(codeOf(error), error.message))
}

/** The server cannot be reached, or takes nobody in: another one may answer. */
export function isAway (error: unknown): boolean {
  return isLost(error) || (error instanceof Error && (
    UNREACHABLE.test(codeOf(error)) || postgresql.isAway(codeOf(error), error.message) || mysql.isAway(errnoOf(error), error.message)
  ))
}

/** A replica had to stop a read to go on with what the primary has done. */
export function isRecoveryConflict (error: unknown): boolean {
  return error instanceof Error && postgresql.isRecoveryConflict(codeOf(error))
}

/** What may work the next time, and MikroORM 7.2.1 takes for a `DriverException` without a name. */
export function isTransient (error: Error): boolean {
  const code = codeOf(error)
  return SOCKET.test(code) || isRetriable(error) || postgresql.isTransient(code, error.message) || mysql.isTransient(errnoOf(error), error.message)
}

/** A commit that the server has refused with it may be done all the same. */
export function isUndecided (error: unknown): boolean {
  return error instanceof Error && mysql.isUndecided(error.message)
}

/** Node's own are negative. */
function errnoOf (error: Error): unknown {
  return (error as { errno?: unknown }).errno
}

function codeOf (error: Error): string {
  return String((error as { code?: unknown }).code)
}
