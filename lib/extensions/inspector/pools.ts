import type { MikroORM } from '@mikro-orm/core'
import type { DescribedHolding, DescribedPool } from './descriptions.ts'
import type { Records } from './records.ts'

/** What MikroORM gives by `getNativeClient()`: a pool of pg's or of mysql2's, or the one connection of SQLite. */
interface NativeClient {
  totalCount?: number
  idleCount?: number
  waitingCount?: number
  options?: { max?: number }
  config?: { connectionLimit?: number }
}

/** What is known of the connections of each database. */
export class Pools {
  readonly #orms: () => Record<string, MikroORM>
  readonly #records: Records
  readonly #clients = new WeakMap<MikroORM, NativeClient>()

  constructor (orms: () => Record<string, MikroORM>, records: Records) {
    this.#orms = orms
    this.#records = records
  }

  async describe (): Promise<DescribedPool[]> {
    const holders = this.#records.holders()
    const orms = this.#orms()
    const names = new Set([...Object.keys(orms), ...holders.map(({ database }) => database)])
    return await Promise.all([...names].map(name => this.#describe(name, orms[name], holders.filter(({ database }) => database === name))))
  }

  async #describe (database: string, orm: MikroORM | undefined, holders: DescribedHolding[]): Promise<DescribedPool> {
    const client = orm === undefined ? undefined : await this.#clientOf(orm)
    const live = [...this.#records.live].filter(record => record.uses(database))
    const isPool = typeof client?.totalCount === 'number'
    return {
      database,
      max: sizeOf(client),
      held: holders.length,
      reading: live.filter(({ isReading }) => isReading).length,
      waiting: live.filter(({ isWaiting }) => isWaiting).length,
      driver: isPool ? { open: client.totalCount!, idle: client.idleCount!, waiting: client.waitingCount! } : undefined,
      holders
    }
  }

  /** Nothing is connected for it. */
  async #clientOf (orm: MikroORM): Promise<NativeClient | undefined> {
    const known = this.#clients.get(orm)
    if (known !== undefined || !this.#records.isTouched) return known
    const connection = orm.em.getDriver().getConnection() as { getNativeClient?: () => Promise<NativeClient> }
    const client = await connection.getNativeClient?.().catch(() => undefined)
    if (client !== undefined) this.#clients.set(orm, client)
    return client
  }
}

function sizeOf (client: NativeClient | undefined): number | undefined {
  if (client === undefined) return undefined
  return client.options?.max ?? client.config?.connectionLimit ?? 1
}
