import type { Result } from './pinned-transaction.ts'

/** What a server has answered to `Replication.where`. */
export type Whereabouts = Result['rows'][number]

/** `foreign`: the position is one of other servers, with which it has nothing in common. */
export type Reach = 'reached' | 'behind' | 'foreign'

/**
 * What an engine knows of its replication. A position says up to where a server has to be to have a commit; it is a short text
 * of letters, digits, dots and dashes.
 */
export interface Replication {
  /** The statement that asks a server, be it the primary or a replica, where it is. */
  readonly where: string
  /** Options of the driver for a pool of one connection, which does not wait long to connect. */
  readonly singleConnection: object
  /** The position of all that the primary has committed before its answer; `undefined` if that was no primary. */
  positionIn (answer: Whereabouts): string | undefined
  /** Whether a server that has answered so has what was committed at the position. */
  reach (answer: Whereabouts, position: string, isPrimary: boolean): Reach
}

/** A commit has one, and nobody knows it: whatever the primary has by now is enough. */
export const UNKNOWN_POSITION = '?'
