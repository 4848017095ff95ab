import type { MikroORM } from '@mikro-orm/sqlite'
import type { Test } from 'tap'

/** Typed as SQLite's; what the tests use, the others have as well. */
export type Orm = MikroORM

export const KINDS = ['sqlite', 'postgresql', 'mariadb', 'libsql', 'pglite'] as const
export type Kind = typeof KINDS[number]

/** A database engine that tests run on. */
export interface Engine<Database extends EngineDatabase = EngineDatabase> {
  kind: Kind
  /** In brackets after the names of its tests. */
  name: string
  /** Why its tests are skipped, if they are. */
  without: string | false
  /** An empty database, and only for this test. */
  fresh (t: Test): Promise<Database>
}

export interface EngineDatabase {
  kind: Kind
  /** Every statement, as the driver sent it. */
  sent: string[]
  /** A MikroORM for the database, which nothing has connected. */
  open (options: object): Promise<Orm>
  /** A connection of nobody's but the test's. */
  observe (sql: string): Promise<any[]>
  /** Connections that are not in a pool. */
  taken (): number
}

/** One with several connections, to a server that can be asked what they do. */
export interface PoolDatabase extends EngineDatabase {
  kind: PoolKind
  /** A statement that takes that long, and is no read. Without a number, no test waits for its end. */
  sleep (seconds?: number): string
  /** A read that takes minutes. */
  slowRead: string
  /** A read of two rows, each of which takes that long. */
  slowRows (seconds: number): string
  /** Selects the `id` of the connection that it is sent on. It is no read either. */
  ownId: string
  /** Those of the test's MikroORMs. */
  connections (): Promise<ServerConnection[]>
  /** Resolves when the server has no such connection any more. */
  kill (id: number): Promise<void>
}

export type PoolKind = 'postgresql' | 'mariadb'

/** What a server says of a connection. */
export interface ServerConnection {
  id: number
  /** What it runs at the moment, without a BEGIN that came with it. */
  sql: string | null
  /** Runs `sleep()`, or a trigger that sleeps. */
  isSleeping: boolean
  /** Waits for a lock. */
  isBlocked: boolean
  isInTransaction: boolean
}
