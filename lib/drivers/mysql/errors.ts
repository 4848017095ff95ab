/** What MySQL, MariaDB and mysql2 3 say of connections, and of what may work the next time. */

/** A row has changed since it was read, a node of Galera is not ready, the server stops, has killed the connection, a lock timeout, a deadlock. */
const TRANSIENT = new Set<unknown>([1020, 1047, 1053, 1927, 1205, 1213])
/** A node of Galera has lost the others while it committed (1180): what it has sent may have reached them. */
const UNDECIDED_MESSAGE = /\bNot connected to Primary Component\b/
const LOST_MESSAGE = /\bConnection lost\b|\bconnection is in closed state$/

/** A row has changed since it was read, a lock timeout, a deadlock: what they have left of the transaction depends on settings. */
const ENDS_TRANSACTION = new Set<unknown>([1020, 1205, 1213])

/** The server says with it that it closes the connection: it stops, or was told to kill it. */
export function isClosing (errno: unknown): boolean {
  return errno === 1053 || errno === 1927
}

/** There is no going on with the transaction, nor back to a savepoint: but the whole of it may work when it is run again. */
export function endsTransaction (errno: unknown): boolean {
  return ENDS_TRANSACTION.has(errno)
}

/** It may work the next time. */
export function isTransient (errno: unknown, message: string): boolean {
  return TRANSIENT.has(errno) || LOST_MESSAGE.test(message) || isUndecided(message)
}

/** A commit that has failed with it may be done all the same. */
export function isUndecided (message: string): boolean {
  return UNDECIDED_MESSAGE.test(message)
}

/** It has gone, stops, or takes nobody in. */
export function isAway (errno: unknown, message: string): boolean {
  return isClosing(errno) || errno === 1040 || LOST_MESSAGE.test(message)
}
