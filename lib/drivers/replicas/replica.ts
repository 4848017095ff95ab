import type { EntityManager } from '@mikro-orm/core'
import type { AbstractSqlConnection } from '@mikro-orm/sql'
import { isAway, isRecoveryConflict } from '../errors.ts'
import type { Driver } from '../driver.ts'
import { makeDriver } from '../driver-of.ts'
import type { DatabaseConnection, Use } from '../pinned-transaction.ts'
import type { Whereabouts } from '../replication.ts'
import { patience } from '../../util/patience.ts'
import { Heartbeat } from './heartbeat.ts'
import { closeWith, nameOf } from './internals.ts'

/** Lends a connection of the driver to `use`, and calls `arrived` before. */
export type LendOn<T> = (driver: Driver, use: Use<T>, arrived: () => void) => Promise<T>
/** Notes that a connection is used for as long as that lasts. */
type Track<T> = (connection: DatabaseConnection, use: Use<T>) => Promise<T>

interface Running {
  readonly since: number
  connection: DatabaseConnection | undefined
  /** Rejects when nobody waits for the server any more. */
  readonly givenUp: Promise<never>
  giveUp (): void
}

/** One replica: whether it is there, how far it is, and what runs on it. */
export class Replica {
  readonly connection: AbstractSqlConnection
  readonly driver: Driver
  readonly name: string
  readonly #heartbeat: Heartbeat
  readonly #running = new Set<Running>()
  #watch: NodeJS.Timeout | undefined
  #lastSign = 0
  #leftOutUntil = 0
  /** It has to say whether it is there. */
  #isSuspected = false
  #problem: string | undefined
  #asking: Promise<void> | undefined
  /** Where it was when it was asked last. It is never behind that. */
  whereabouts: Whereabouts | undefined

  constructor (connection: AbstractSqlConnection, config: EntityManager['config']) {
    this.connection = connection
    this.driver = makeDriver(connection, config)
    this.name = nameOf(connection)
    this.#heartbeat = new Heartbeat(connection, config, this.driver)
    closeWith(connection, () => this.#stop())
    this.ask() // to be connected when it matters
  }

  /** It can be read from. One that was left out has to answer a question first. */
  get isFit (): boolean {
    if (this.#leftOutUntil === 0) return !this.#isSuspected
    if (performance.now() > this.#leftOutUntil) this.ask()
    return false
  }

  /** Why it is left out, for the first who asks. */
  takeProblem (): string | undefined {
    const problem = this.#problem
    this.#problem = undefined
    return problem
  }

  /** Whether another server may answer what has failed here. */
  isToBlame (error: unknown): boolean {
    if (isAway(error)) this.#leaveOut(error)
    return error === this.#silence || isAway(error) || isRecoveryConflict(error)
  }

  /** Asks it where it is: everybody at once. Resolves when that is known, or it is left out. */
  ask (): Promise<void> {
    this.#asking ??= this.#ask().finally(() => { this.#asking = undefined })
    return this.#asking
  }

  /** Reads, until it is known that there will be no answer. */
  read<T> (lend: LendOn<T>, use: Use<T>, assertWanted: () => void, track: Track<T>): Promise<T> {
    return this.#run(running => lend(this.driver, connection => {
      running.connection = connection
      return track(connection, connection => Promise.race([use(connection), running.givenUp]))
    }, () => this.#arrive(running, assertWanted)))
  }

  /** Begins a transaction, unless it is known that there will be no answer. */
  begin<T> (begin: (arrived: () => void) => Promise<T>, assertWanted: () => void): Promise<T> {
    return this.#run(running => begin(() => this.#arrive(running, assertWanted)))
  }

  readonly #silence: Error = new Error('It does not answer')

  #arrive (running: Running, assertWanted: () => void): void {
    if (!this.#running.has(running)) throw this.#silence
    assertWanted()
  }

  async #run<T> (run: (running: Running) => Promise<T>): Promise<T> {
    const { promise, reject } = Promise.withResolvers<never>()
    promise.catch(() => {})
    const running: Running = { since: performance.now(), connection: undefined, givenUp: promise, giveUp: () => reject(this.#silence) }
    this.#running.add(running)
    this.#watch ??= setInterval(() => this.#look(), patience.slowReplica / 2).unref()
    try {
      const result = await Promise.race([run(running), running.givenUp])
      this.#lastSign = performance.now()
      return result
    } finally {
      this.#running.delete(running)
    }
  }

  async #ask (): Promise<void> {
    try {
      this.whereabouts = await this.#heartbeat.ask(this.#silence)
    } catch (error) {
      return this.#leaveOut(error)
    } finally {
      this.#isSuspected = false
    }
    this.#lastSign = performance.now()
    if (this.#lastSign > this.#leftOutUntil) this.#leftOutUntil = 0
  }

  /** While something is running that takes long: the server may have stopped. */
  #look (): void {
    if (this.#running.size === 0) return this.#unwatch()
    const long = performance.now() - patience.slowReplica
    if (this.#lastSign > long) return
    for (const { since } of this.#running) {
      if (since > long) continue
      this.#isSuspected = true
      this.ask()
      return
    }
  }

  #unwatch (): void {
    clearInterval(this.#watch)
    this.#watch = undefined
  }

  #leaveOut (error: unknown): void {
    if (this.#leftOutUntil === 0) this.#problem = error instanceof Error ? error.message : String(error)
    this.#leftOutUntil = performance.now() + patience.leftOutReplica
    if (error !== this.#silence) return // what still runs there says by itself what becomes of it
    for (const running of this.#running) {
      running.giveUp()
      if (running.connection !== undefined) this.driver.abandon(running.connection)
    }
  }

  async #stop (): Promise<void> {
    this.#unwatch()
    await this.#asking
    await this.#heartbeat.close()
  }
}
