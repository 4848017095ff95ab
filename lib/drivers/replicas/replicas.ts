import type { AbstractSqlConnection, AbstractSqlDriver, SqlEntityManager } from '@mikro-orm/sql'
import type { Driver } from '../driver.ts'
import { rawStatement } from '../kysely/connections.ts'
import type { Reach, Whereabouts } from '../replication.ts'
import { MAX_TIMER_MS } from '../../util/max-timer.ts'
import { patience } from '../../util/patience.ts'
import { NOTHING } from './heartbeat.ts'
import { realDriver, replicasIn } from './internals.ts'
import { Replica } from './replica.ts'

interface Waiting {
  readonly position: string
  settle (replica: Replica | undefined): void
}

/** The replicas of one MikroORM: which of them can be read from, and how far they are. */
export class Replicas {
  readonly #all: readonly Replica[]
  readonly #ormDriver: AbstractSqlDriver
  readonly #primary: Driver
  readonly #waiting = new Set<Waiting>()
  readonly #followed = new Set<Replica>()

  constructor (em: SqlEntityManager, primary: Driver) {
    this.#ormDriver = realDriver(em.getDriver() as AbstractSqlDriver)
    this.#primary = primary
    this.#all = replicasIn(this.#ormDriver).map(connection => new Replica(connection, em.config))
  }

  /** One that can be read from, and is right: MikroORM's own choice, if it is. */
  pick (isRight: (replica: Replica) => boolean = ANY): Replica | undefined {
    const chosen: AbstractSqlConnection = this.#ormDriver.getConnection('read')
    const index = this.#all.findIndex(({ connection }) => connection === chosen)
    for (let i = 0; i < this.#all.length; i++) {
      const replica = this.#all[(index + i) % this.#all.length]!
      if (replica.isFit && isRight(replica)) return replica
    }
    return undefined
  }

  /**
   * One that is known to have what was committed at the position, or any if the position is not one of these servers. If none is known
   * to, waits for one for so many milliseconds: `undefined` then, or at once if that is none.
   */
  reached (position: string, ms: number): Replica | undefined | Promise<Replica | undefined> {
    const known = this.#known(position)
    if (known !== undefined) return known
    const found = ms === 0 ? undefined : this.#wait(position, ms)
    for (const replica of this.#all) this.#follow(replica)
    return found
  }

  /** That of all that has been committed by now; `undefined` if the engine knows of none, or the primary does not answer. */
  async presentPosition (): Promise<string | undefined> {
    const answer = await this.#askPrimary()
    return answer && this.#primary.replication!.positionIn(answer)
  }

  #known (position: string): Replica | undefined {
    return this.pick(({ whereabouts }) => whereabouts !== undefined && this.#reach(whereabouts, position) !== 'behind')
  }

  #reach (answer: Whereabouts, position: string, isPrimary = false): Reach {
    return this.#primary.replication!.reach(answer, position, isPrimary)
  }

  #wait (position: string, ms: number): Promise<Replica | undefined> {
    return new Promise(resolve => {
      const waiting: Waiting = {
        position,
        settle: replica => {
          clearTimeout(timer)
          this.#waiting.delete(waiting)
          resolve(replica)
        }
      }
      const timer = setTimeout(() => waiting.settle(undefined), Math.min(ms, MAX_TIMER_MS))
      this.#waiting.add(waiting)
      this.#refuseForeign(waiting)
    })
  }

  /** A position that the primary has not reached by now is of a server that has been replaced, or of a log that is lost. */
  async #refuseForeign (waiting: Waiting): Promise<void> {
    const answer = await this.#askPrimary()
    if (answer !== undefined && this.#waiting.has(waiting) && this.#reach(answer, waiting.position, true) !== 'reached') waiting.settle(this.pick())
  }

  /** Asks where it is, as long as somebody waits for it to be somewhere. */
  async #follow (replica: Replica): Promise<void> {
    if (this.#followed.has(replica) || !replica.isFit) return
    this.#followed.add(replica)
    do {
      await replica.ask()
      for (const waiting of this.#waiting) {
        const known = this.#known(waiting.position)
        if (known !== undefined) waiting.settle(known)
      }
      if (this.#waiting.size > 0) await new Promise(resolve => setTimeout(resolve, patience.laggingReplica))
    } while (this.#waiting.size > 0 && replica.isFit)
    this.#followed.delete(replica)
  }

  async #askPrimary (): Promise<Whereabouts | undefined> {
    const { replication } = this.#primary
    if (replication === undefined) return undefined
    try {
      const { rows } = await this.#primary.read(connection => connection.executeQuery(rawStatement(replication.where)), NOTHING)
      return rows[0]
    } catch {
      return undefined
    }
  }
}

const ANY = (): boolean => true
