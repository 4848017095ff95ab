/** What PostgreSQL and pg 8.23 say of connections, and of what may work the next time. */

/** An administrator ends the connection, or the server stops, has crashed, or starts. */
const CLOSING = /^57P0[1-4]$/

/** SQLSTATE 08 is the class of lost connections. */
const LOST_CODE = /^08...$/
const LOST_MESSAGE = /^Connection terminated|connection error and is not queryable|was closed and is not queryable/

const AWAY_MESSAGE = /^timeout exceeded when trying to connect$|\bconnection timeout\b/

/** A lost connection, a server that cannot be connected to, or a lock timeout. */
const TRANSIENT_CODE = /^(?:08...|57P0[1-3]|55P03)$/
const TRANSIENT_MESSAGE = /\bConnection terminated|\bconnection error and is not queryable/

/** A serialization failure, or a deadlock. */
const RETRIABLE = new Set(['40001', '40P01'])

/** The server has said with it that it closes the connection. */
export function isClosing (code: string): boolean {
  return CLOSING.test(code)
}

/** There is no server any more at the other end. */
export function isLost (code: string, message: string): boolean {
  return isClosing(code) || LOST_CODE.test(code) || LOST_MESSAGE.test(message)
}

/** The whole transaction may work when it is run again. */
export function isRetriable (code: string): boolean {
  return RETRIABLE.has(code)
}

/** It may work the next time. */
export function isTransient (code: string, message: string): boolean {
  return TRANSIENT_CODE.test(code) || TRANSIENT_MESSAGE.test(message)
}

/** It takes nobody in: all its connections are taken, or it takes too long. */
export function isAway (code: string, message: string): boolean {
  return code === '53300' || AWAY_MESSAGE.test(message)
}

/** A standby has cancelled a read. On a primary, the same codes are about writers. */
export function isRecoveryConflict (code: string): boolean {
  return code === '40001' || code === '40P01'
}
