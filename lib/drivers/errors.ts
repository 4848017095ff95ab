import * as mysql from './mysql/errors.ts'
import * as postgresql from './postgresql/errors.ts'

/** What the errors of drivers mean, whichever driver it is: their codes do not meet. */

/** What Node says of sockets. */
const SOCKET = /^(?:ECONNREFUSED|ECONNRESET|EPIPE|ETIMEDOUT)$/

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
  return error instanceof Error && postgresql.isClosing(codeOf(error))
}

/** The same, or there is no server any more at the other end. */
export function isLost (error: unknown): boolean {
  return error instanceof Error && (SOCKET.test(codeOf(error)) || postgresql.isLost(codeOf(error), error.message))
}

/** What may work the next time, and MikroORM 7.2.1 takes for a `DriverException` without a name. */
export function isTransient (error: Error): boolean {
  const code = codeOf(error)
  return SOCKET.test(code) || postgresql.isTransient(code, error.message) || mysql.isTransient(error.message)
}

function codeOf (error: Error): string {
  return String((error as { code?: unknown }).code)
}
