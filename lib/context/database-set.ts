import type { MikroORM } from '@mikro-orm/core'
import type { OrmSource } from '../options/orm-source.ts'
import type { Positions } from '../transaction/freshness.ts'

/** The databases that a context works on, as it sees them: `Databases`. */
export interface DatabaseSet {
  readonly all: readonly OrmSource[]
  readonly names: string[]
  /** The app that they are of is closing: nothing new is begun outside of what is running. */
  readonly isClosing: boolean
  /** Awaited before a context is opened; usually there is nothing to wait for. */
  readonly beforeContext: (() => Promise<void>) | undefined
  readonly tokens: Tokens
  /** The one of that name, by default the first; throws `FST_ORM_UNKNOWN_DATABASE`. */
  get (name?: string): OrmSource
  /** The one that the MikroORM belongs to. */
  of (orm: MikroORM): OrmSource | undefined
  /** Its place among them: they are committed in the order in which they were registered. */
  indexOf (source: OrmSource): number
  /** Work that a context has left behind, and that must be done before the databases close, be it in vain. */
  addUnfinished (work: Promise<unknown>): void
}

/** How contexts tell each other what they have committed. */
export interface Tokens {
  readonly areMade: boolean
  /** Milliseconds for which a read waits for a replica. */
  readonly wait: number
  make (positions: Positions): string | undefined
  /** `undefined` if it is forged, or too old. */
  read (token: string): Positions | undefined
}
