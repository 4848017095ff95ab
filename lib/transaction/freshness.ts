import type { Driver } from '../drivers/driver.ts'
import type { PinnedTransaction } from '../drivers/pinned-transaction.ts'
import type { Replica } from '../drivers/replicas/replica.ts'
import type { Replicas } from '../drivers/replicas/replicas.ts'
import { UNKNOWN_POSITION } from '../drivers/replication.ts'

/** Positions of commits by the names of their databases. */
export type Positions = ReadonlyMap<string, string>

/** The context that says what has to be seen, and hears of commits: how reads follow writes over requests and processes. */
export interface FreshnessOwner {
  /** Milliseconds for which a read waits for a replica. */
  readonly replicaWait: number
  /** What has to be seen; asked once, when it is needed. */
  positionsToRead (): Positions | undefined
  /** A commit has told where it is. */
  onPosition (): void
}

/** What contexts have to see: a request or a job, with its branches. What one of them has written, all of them see. */
export class Freshness {
  owner: FreshnessOwner
  readonly #databases = new Map<Driver, DatabaseFreshness>()
  #required: Map<string, string> | undefined
  #needsPrimary = false

  constructor (owner: FreshnessOwner) {
    this.owner = owner
  }

  of (driver: Driver, name: string): DatabaseFreshness {
    let database = this.#databases.get(driver)
    if (database === undefined) {
      database = new DatabaseFreshness(this, name, this.#needsPrimary)
      this.#databases.set(driver, database)
    }
    return database
  }

  /** Nothing is read from replicas any more. */
  needPrimary (): void {
    this.#needsPrimary = true
    for (const database of this.#databases.values()) database.needsPrimary = true
  }

  /** What is to be seen besides: that of a token. Of two positions, nobody here knows which one is further. */
  require (positions: Positions = NONE): void {
    for (const [name, position] of positions) {
      const isOnlyOne = (this.required.get(name) ?? position) === position
      this.required.set(name, isOnlyOne ? position : UNKNOWN_POSITION)
    }
    for (const database of this.#databases.values()) database.reconsider()
  }

  get required (): Map<string, string> {
    this.#required ??= new Map(this.owner.positionsToRead())
    return this.#required
  }

  /** What a reader has to see who is to see all of this; `undefined` if nothing was committed. */
  get positions (): Positions | undefined {
    let positions: Map<string, string> | undefined
    for (const { name, committed } of this.#databases.values()) {
      if (committed !== undefined) (positions ??= new Map(this.required)).set(name, committed)
    }
    return positions
  }
}

/** The same of one database: from where it may be read. */
export class DatabaseFreshness {
  readonly name: string
  readonly #all: Freshness
  /** The position of the last commit. */
  committed: string | undefined
  /** Once something was written, or seen on the primary, only that is certain to have it. */
  needsPrimary: boolean
  /** All is read from one: another one might be further back. So where it has gone, the primary is read from. */
  #replica: Replica | undefined
  #choosing: Promise<Replica | undefined> | undefined

  constructor (all: Freshness, name: string, needsPrimary: boolean) {
    this.#all = all
    this.name = name
    this.needsPrimary = needsPrimary
  }

  noteWrite (): void {
    this.needsPrimary = true
  }

  /** Something is committed, or may be. Without a position, nobody knows where. */
  noteCommit (position: string = UNKNOWN_POSITION): void {
    this.committed = position
    this.#all.owner.onPosition()
  }

  /** More is to be seen now: what is being chosen may lack that. */
  reconsider (): void {
    this.#replica = this.#choosing = undefined
  }

  /** The replica to read from; `undefined` if that is the primary. */
  replicaIn (replicas: Replicas): Replica | undefined | Promise<Replica | undefined> {
    if (this.needsPrimary) return undefined
    if (this.#replica?.isFit === true) return this.#replica
    if (this.#replica !== undefined) return this.#keep(undefined)
    const position = this.#all.required.get(this.name)
    if (position === undefined) return this.#keep(replicas.pick())
    this.#choosing ??= this.#choose(replicas, position)
    return this.#whenChosen(this.#choosing, replicas)
  }

  /** For who cannot wait: one that is known to have what has to be seen. */
  replicaAtOnce (replicas: Replicas): Replica | undefined {
    return this.needsPrimary || this.#all.required.has(this.name) ? undefined : this.replicaIn(replicas) as Replica | undefined
  }

  #keep (replica: Replica | undefined): Replica | undefined {
    this.#replica = replica
    if (replica === undefined) this.needsPrimary = true
    return replica
  }

  /** A context waits once. It chooses again if it has to see more than when it began to wait. */
  async #whenChosen (choosing: Promise<Replica | undefined>, replicas: Replicas): Promise<Replica | undefined> {
    const replica = await choosing
    if (this.#choosing !== choosing) return await this.replicaIn(replicas)
    return this.#keep(replica)
  }

  async #choose (replicas: Replicas, position: string): Promise<Replica | undefined> {
    const needed = position === UNKNOWN_POSITION ? await replicas.presentPosition() : position
    return needed === undefined ? undefined : await replicas.reached(needed, this.#all.owner.replicaWait)
  }
}

const NONE: Positions = new Map()

/** Commits, and notes where that is. */
export async function commitTracked (transaction: PinnedTransaction, freshness: DatabaseFreshness): Promise<void> {
  transaction.wantsPosition = true
  try {
    await transaction.commit()
  } catch (error) {
    if (transaction.isInDoubt) freshness.noteCommit()
    throw error
  }
  freshness.noteCommit(transaction.position)
}
