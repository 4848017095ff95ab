import t, { type Test } from 'tap'
import { runningContexts } from '../../lib/context/running-contexts.ts'
import type { Engine, EngineDatabase, Kind, Orm, PoolDatabase } from './engines/engine.ts'
import { libsql } from './engines/libsql.ts'
import { mariadb } from './engines/mariadb.ts'
import { pglite } from './engines/pglite.ts'
import { postgresql } from './engines/postgresql.ts'
import { sqlite } from './engines/sqlite.ts'
import { Author, Book } from './entities.ts'
import { until } from './until.ts'

export { Author, Book }
export type { Orm }

export interface TestDatabase extends Omit<EngineDatabase, 'open'>, Opened {}
export interface TestPool extends Omit<PoolDatabase, 'open'>, Opened {}

interface Opened {
  orm: Orm
  /** The titles that a second connection sees. */
  titles (): Promise<string[]>
  /** Another MikroORM for the same database. */
  another (options?: object): Promise<Orm>
  /** One that nothing has connected yet. */
  unconnected (options?: object): Promise<Orm>
}

type Run<Database> = (t: Test, database: Omit<Database, 'open'> & Opened) => Promise<void>

interface Options {
  /** Why it is not run. */
  skip?: string | false
  /** Which engines cannot do it, and why. */
  except?: Partial<Record<Kind, string>>
}

type On<Database = EngineDatabase> = (name: string, run: Run<Database>, options?: Options) => void

export const onSqlite: On = on(sqlite)
export const onPostgres: On<PoolDatabase> = on(postgresql)
export const onMariadb: On<PoolDatabase> = on(mariadb)
export const NO_DEFERRED: Options = { except: { mariadb: 'MariaDB has no deferred constraints' } }

/** Those with several connections. */
export const onEachPool: On<PoolDatabase> = on(postgresql, mariadb)

export const onPglite: On = on(pglite)
/** They have SQLite's SQL. */
export const onEachSqlite: On = on(sqlite, libsql)
export const onSingleConnection: On = on(sqlite, libsql, pglite)

/** Runs a test on each of the engines, on an empty database each. */
export const onEachDatabase: On = on(sqlite, postgresql, mariadb)
/** The same, also on those that are embedded in a program: what looks at the results alone. */
export const onEveryEngine: On = on(sqlite, postgresql, mariadb, libsql, pglite)

function on<Database extends EngineDatabase> (...engines: Array<Engine<Database>>): On<Database> {
  return (name, run, { skip = false, except = {} } = {}) => {
    for (const engine of engines) {
      t.test(`${name} (${engine.name})`, { skip: skip || except[engine.kind] || engine.without }, async t => await withDatabase(t, run, await engine.fresh(t)))
    }
  }
}

const DEFAULTS = { entities: [Author, Book], discovery: { warnWhenNoEntities: false } }

async function withDatabase<Database extends EngineDatabase> (t: Test, run: Run<Database>, { open, ...database }: Database): Promise<void> {
  const opened: Orm[] = []
  const unconnected = async (options?: object): Promise<Orm> => {
    const orm = await open({ ...DEFAULTS, ...options })
    opened.push(orm)
    return orm
  }
  const another = async (options?: object): Promise<Orm> => {
    const orm = await unconnected(options)
    await orm.connect()
    return orm
  }
  const before = new Set(runningContexts(() => true))
  t.teardown(async () => {
    await Promise.all(opened.map(orm => orm.close()))
    await assertNoneIsLeft(before)
  })
  const orm = await another()
  await orm.schema.create()
  database.sent.length = 0
  await run(t, {
    ...database,
    orm,
    another,
    unconnected,
    async titles () {
      return (await database.observe('select title from book')).map(row => row.title).sort() // as no collation would
    }
  })
}

/** A context that never ends is a leak, and the next shutdown would wait for it. */
async function assertNoneIsLeft (before: ReadonlySet<object>): Promise<void> {
  const isOver = AbortSignal.timeout(5000)
  const running = (): string[] => runningContexts(context => !before.has(context)).map(({ name }) => name)
  await until(() => running().length === 0 || isOver.aborted)
  const left = running()
  if (left.length > 0) throw new Error(`These contexts have not ended: ${left.join(', ')}`)
}
