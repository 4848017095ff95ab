/** What PostgreSQL and pg 8.23 say of connections, and of what may work the next time. */

/** An administrator ends the connection, or the server stops, has crashed, or starts. */
const CLOSING = /^57P0[1-4]$/

/** SQLSTATE 08 is the class of lost connections. */
const LOST_CODE = /^08...$/
const LOST_MESSAGE = /^Connection terminated|connection error and is not queryable|was closed and is not queryable/

/** The same, a server that cannot be connected to, and a lock timeout. */
const TRANSIENT_CODE = /^(?:08...|57P0[1-3]|55P03)$/
const TRANSIENT_MESSAGE = /\bConnection terminated|\bconnection error and is not queryable/

/** The server has said with it that it closes the connection. */
export function isClosing (code: string): boolean {
  return CLOSING.test(code)
}

/** There is no server any more at the other end. */
export function isLost (code: string, message: string): boolean {
  return isClosing(code) || LOST_CODE.test(code) || LOST_MESSAGE.test(message)
}

/** It may work the next time. */
export function isTransient (code: string, message: string): boolean {
  return TRANSIENT_CODE.test(code) || TRANSIENT_MESSAGE.test(message)
}
