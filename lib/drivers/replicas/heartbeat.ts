import type { EntityManager } from '@mikro-orm/core'
import type { AbstractSqlConnection } from '@mikro-orm/sql'
import type { Driver } from '../driver.ts'
import { makeDriver } from '../driver-of.ts'
import { isAway } from '../errors.ts'
import { rawStatement } from '../kysely/connections.ts'
import { isMadeByMikroOrm } from '../made-by-mikro-orm.ts'
import type { DatabaseConnection, Result } from '../pinned-transaction.ts'
import type { Whereabouts } from '../replication.ts'
import { patience } from '../../util/patience.ts'
import { anotherLike } from './internals.ts'

const ALIVE = 'select 1 as alive'

/**
 * Asks a server where it is, and thereby whether it is there: on a connection of its own, since those of the pool may all be taken by what
 * takes long, or wait for a server that has stopped.
 */
export class Heartbeat {
  readonly #driver: Driver
  /** What is there besides the pool. */
  readonly #own: AbstractSqlConnection | undefined
  readonly #sql: string
  #connection: DatabaseConnection | undefined

  constructor (connection: AbstractSqlConnection, config: EntityManager['config'], driver: Driver) {
    const { replication } = driver
    this.#sql = replication?.where ?? ALIVE
    if (replication !== undefined && isMadeByMikroOrm(config)) this.#own = anotherLike(connection, config, replication.singleConnection)
    this.#driver = this.#own === undefined ? driver : makeDriver(this.#own, config)
  }

  /** Where it is; `undefined` if it answers and does not say so. Rejects with `silence` if it does not answer in time. */
  async ask (silence: Error): Promise<Whereabouts | undefined> {
    const { promise, reject } = Promise.withResolvers<never>()
    const giveUp = (): void => reject(silence)
    let stopWaiting = wait(patience.unconnectedReplica, giveUp)
    const answered = this.#driver.read(connection => {
      this.#connection = connection
      stopWaiting()
      stopWaiting = wait(patience.silentReplica, giveUp)
      return connection.executeQuery(rawStatement(this.#sql)).catch(ignoreRefusal)
    }, NOTHING)
    try {
      const { rows: [answer] } = await Promise.race([answered, promise])
      return answer
    } catch (error) {
      if (error === silence) this.#abandon()
      throw error
    } finally {
      stopWaiting()
      this.#connection = undefined
    }
  }

  async close (): Promise<void> {
    await this.#own?.close()
  }

  #abandon (): void {
    if (this.#connection !== undefined) this.#driver.abandon(this.#connection)
  }
}

/** Nobody has to be told that there is a connection. */
export const NOTHING = (): void => {}

/** MySQL knows no such variables, and PostgreSQL may have been told to answer to few: who refuses that is there. */
function ignoreRefusal (error: unknown): Result {
  if (isAway(error)) throw error
  return { rows: [] }
}

/** Calls `giveUp` after that time, unless this process was kept from reading what has come. Returns what stops it. */
function wait (ms: number, giveUp: () => void): () => void {
  let hasStopped = false
  const timer = setTimeout(() => setImmediate(() => setImmediate(() => { if (!hasStopped) giveUp() })), ms).unref()
  return () => {
    hasStopped = true
    clearTimeout(timer)
  }
}
