import { MikroORM, SqliteDriver, defineEntity, p } from '@mikro-orm/sqlite'
import { PostgreSqlDriver } from '@mikro-orm/postgresql'
import Sqlite from 'better-sqlite3'
import { join } from 'node:path'
import type pg from 'pg'
import t, { type Test } from 'tap'
import { freshDatabase } from './fresh-database.ts'
import { withoutPostgres } from './without-postgres.ts'

export const Author = defineEntity({
  name: 'Author',
  properties: {
    id: p.integer().primary(),
    name: p.string().unique(),
    books: () => p.oneToMany(Book).mappedBy('author')
  }
})

export const Book = defineEntity({
  name: 'Book',
  properties: {
    id: p.integer().primary(),
    title: p.string().unique(),
    stock: p.integer().default(3),
    author: () => p.manyToOne(Author).nullable()
  }
})

/** Typed as SQLite's; what the tests use, PostgreSQL's has as well. */
export type Orm = MikroORM

export interface TestDatabase {
  kind: 'sqlite' | 'postgresql'
  orm: Orm
  /** Every statement, as the driver sent it. */
  sent: string[]
  /** A connection of nobody's but the test's. */
  observe (sql: string): Promise<any[]>
  /** The titles that a second connection sees. */
  titles (): Promise<string[]>
  /** Another MikroORM for the same database. */
  another (options?: object): Promise<Orm>
  /** One that nothing has connected yet. */
  unconnected (options?: object): Promise<Orm>
  /** Connections that are not in the pool. */
  taken (): number
}

type Run = (t: Test, database: TestDatabase) => Promise<void>

interface Options {
  /** Why it is not run. */
  skip?: string | false
}

/** Runs a test on SQLite and on PostgreSQL, on an empty database each. */
export function onEachDatabase (name: string, run: Run, options?: Options): void {
  onSqlite(name, run, options)
  onPostgres(name, run, options)
}

export function onSqlite (name: string, run: Run, { skip = false }: Options = {}): void {
  t.test(`${name} (SQLite)`, { skip }, async t => {
    const sent: string[] = []
    const dbName = join(t.testdir({}), 'test.sqlite')
    await withDatabase(t, run, {
      kind: 'sqlite',
      sent,
      open: options => MikroORM.init({
        ...DEFAULTS, dbName, driver: SqliteDriver, ...options, driverOptions: { verbose: (sql: string) => sent.push(sql) }
      }) as unknown as Promise<Orm>,
      async observe (sql) {
        const connection = new Sqlite(dbName, { readonly: true })
        try {
          return connection.prepare(sql).all()
        } finally {
          connection.close()
        }
      },
      taken: () => 0
    })
  })
}

export function onPostgres (name: string, run: Run, { skip = false }: Options = {}): void {
  t.test(`${name} (PostgreSQL)`, { skip: skip || withoutPostgres }, async t => {
    const sent: string[] = []
    const pools: pg.Pool[] = []
    const { url, query } = await freshDatabase()
    await withDatabase(t, run, {
      kind: 'postgresql',
      sent,
      open: (options = {}) => MikroORM.init({
        ...DEFAULTS,
        clientUrl: url,
        pool: { min: 0, max: 5 },
        driver: PostgreSqlDriver as any,
        ...options,
        driverOptions: {
          ...(options as { driverOptions?: object }).driverOptions,
          onPoolCreated (pool: pg.Pool) {
            pools.push(pool)
            pool.on('connect', client => record(client, sent))
          }
        }
      }) as unknown as Promise<Orm>,
      observe: query,
      taken: () => pools.reduce((sum, pool) => sum + pool.totalCount - pool.idleCount, 0)
    })
  })
}

const DEFAULTS = { entities: [Author, Book], discovery: { warnWhenNoEntities: false } }

type Opener = Omit<TestDatabase, 'orm' | 'another' | 'unconnected' | 'titles'> & { open (options?: object): Promise<Orm> }

async function withDatabase (t: Test, run: Run, { open, ...database }: Opener): Promise<void> {
  const opened: Orm[] = []
  const unconnected = async (options?: object): Promise<Orm> => {
    const orm = await open(options)
    opened.push(orm)
    return orm
  }
  const another = async (options?: object): Promise<Orm> => {
    const orm = await unconnected(options)
    await orm.connect()
    return orm
  }
  t.teardown(async () => {
    await Promise.all(opened.map(orm => orm.close()))
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
      return (await database.observe('select title from book order by title')).map(row => row.title)
    }
  })
}

/** The pool's own queries among them: everything that goes to the server goes through these two of the wire. */
function record (client: pg.PoolClient, sent: string[]): void {
  const { connection } = client as unknown as { connection: { query (sql: string): void, parse (query: { text: string }): void } }
  const { query, parse } = connection
  connection.query = sql => {
    const [, begin, statement] = /^(begin|start transaction[^;]*);(.*)$/s.exec(sql) ?? []
    sent.push(...begin === undefined ? [sql] : [begin, statement!])
    query.call(connection, sql)
  }
  connection.parse = statement => {
    sent.push(statement.text)
    parse.call(connection, statement)
  }
}
