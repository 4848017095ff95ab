import type { MikroORM } from '@mikro-orm/core'
import { resolveInContexts } from './context-resolution.ts'
import { FST_ORM_BAD_OPTION, FST_ORM_SWITCH_FAILED } from '../errors.ts'
import type { SwitchableOrm } from '../options/types.ts'
import { show } from '../util/show.ts'
import { assertTransactions, isSqlOrm, registerSource, type OrmSource } from '../options/orm-source.ts'
import { Mutex } from '../util/mutex.ts'

export interface SwitchableOptions<Host, Orm extends MikroORM<any>> {
  /** Awaited before each context is opened: ask here where the database is, and switch. Default: nothing. */
  beforeContext?: ((handle: SwitchableOrm<Host, Orm>) => unknown) | undefined
}

interface Generation<Host, Orm> {
  host: Host
  orm: Orm
  users: number
  unresolve (): void
}

/**
 * Makes a database that can move to another host. `create` makes a MikroORM for a host, always with the same `contextName`.
 * Resolves when it is connected to `host`. Throws what `create` throws, and what connecting throws.
 */
export function switchable<Orm extends MikroORM<any>> (
  create: (host: string) => Orm | Promise<Orm>, host: string, options?: SwitchableOptions<string, Orm>
): Promise<SwitchableOrm<string, Orm>>
export function switchable<Host, Orm extends MikroORM<any>> (
  create: (host: Host) => Orm | Promise<Orm>, host: Host, options?: SwitchableOptions<Host, Orm>
): Promise<SwitchableOrm<Host, Orm>>
export async function switchable<Host, Orm extends MikroORM<any>> (
  create: (host: Host) => Orm | Promise<Orm>, host: Host, options: SwitchableOptions<Host, Orm> = {}
): Promise<SwitchableOrm<Host, Orm>> {
  if (typeof create !== 'function') throw new FST_ORM_BAD_OPTION('switchable()', 'create', 'a function that makes a MikroORM', show(create))
  const { beforeContext } = options
  if (beforeContext !== undefined && typeof beforeContext !== 'function') {
    throw new FST_ORM_BAD_OPTION('switchable()', 'beforeContext', 'a function', show(beforeContext))
  }
  const source = new MovingSource(create, await connect(create, host))
  const handle: SwitchableOrm<Host, Orm> = {
    get orm () { return source.orm },
    get host () { return source.host },
    switchTo: host => source.switchTo(host),
    close: () => source.close()
  }
  if (beforeContext !== undefined) source.beforeContext = () => beforeContext(handle)
  registerSource(handle, source)
  return handle
}

class MovingSource<Host, Orm extends MikroORM<any>> implements OrmSource {
  readonly name: string
  beforeContext: OrmSource['beforeContext']
  readonly #create: (host: Host) => Orm | Promise<Orm>
  readonly #generations = new Set<Generation<Host, Orm>>()
  readonly #closing = new Set<Promise<void>>()
  readonly #switches = new Mutex()
  #present: Generation<Host, Orm>
  #isClosed = false

  constructor (create: (host: Host) => Orm | Promise<Orm>, first: Generation<Host, Orm>) {
    this.name = first.orm.config.get('contextName')
    this.#create = create
    this.#present = first
    this.#generations.add(first)
  }

  get orm (): Orm {
    return this.#present.orm
  }

  get host (): Host {
    return this.#present.host
  }

  has (orm: MikroORM): boolean {
    for (const generation of this.#generations) if (generation.orm === orm) return true
    return false
  }

  retain (): Orm {
    this.#present.users++
    return this.#present.orm
  }

  release (orm: MikroORM): void {
    for (const generation of this.#generations) {
      if (generation.orm !== orm) continue
      generation.users--
      this.#closeUnused(generation)
    }
  }

  switchTo (host: Host): Promise<void> {
    return this.#switches.run(async () => {
      const before = this.#present
      if (Object.is(host, before.host)) return
      let next: Generation<Host, Orm>
      try {
        if (this.#isClosed) throw new Error('The database has been closed')
        next = await connect(this.#create, host, this.name)
      } catch (error) {
        throw new FST_ORM_SWITCH_FAILED({ cause: error })
      }
      if (this.#isClosed) return await next.orm.close()
      this.#present = next
      this.#generations.add(next)
      this.#closeUnused(before)
    })
  }

  async close (): Promise<void> {
    this.#isClosed = true // also for a switch that is still connecting
    for (const generation of this.#generations) this.#close(generation)
    await Promise.all(this.#closing)
  }

  #closeUnused (generation: Generation<Host, Orm>): void {
    if (generation !== this.#present && generation.users === 0) this.#close(generation)
  }

  #close (generation: Generation<Host, Orm>): void {
    this.#generations.delete(generation)
    generation.unresolve()
    const closing = generation.orm.close().catch(error => {
      process.emitWarning('fastify-context-orm could not close the database of the host before', { detail: String(error) })
    }).finally(() => { this.#closing.delete(closing) })
    this.#closing.add(closing)
  }
}

async function connect<Host, Orm extends MikroORM<any>> (
  create: (host: Host) => Orm | Promise<Orm>, host: Host, name?: string
): Promise<Generation<Host, Orm>> {
  const orm = await create(host)
  if (!isSqlOrm(orm)) throw new FST_ORM_BAD_OPTION('switchable()', 'create', 'a function that makes a MikroORM with an SQL driver', `one that made ${show(orm)}`)
  try {
    assertTransactions('switchable()', 'create', orm)
    const contextName = orm.config.get('contextName')
    if (name !== undefined && contextName !== name) {
      throw new FST_ORM_BAD_OPTION('switchable()', 'create', `a function that makes MikroORMs of one contextName ("${name}")`, `one that made "${contextName}"`)
    }
    await orm.connect()
    const connection = await orm.checkConnection()
    if (!connection.ok) throw new Error(connection.reason, { cause: connection.error })
    return { host, orm: orm as Orm, users: 0, unresolve: resolveInContexts(orm) }
  } catch (error) {
    await (orm as Orm).close()
    throw error
  }
}
