import { MariaDbDriver, MikroORM } from '@mikro-orm/mariadb'
import { PostgreSqlDriver } from '@mikro-orm/postgresql'
import { MysqlDialect, PostgresDialect } from 'kysely'
import { createPool } from 'mysql2'
import { connect, Socket } from 'node:net'
import pg from 'pg'
import { em, runInContext } from '../../index.ts'
import { Author, Book, onMariadb, onPostgres, type Orm, type TestPool } from '../support/databases.ts'
import { untilNone } from '../support/server-connections.ts'
import { assertPoolIsWhole } from '../support/whole-pool.ts'

const entities = [Author, Book]
const sql = (): any => em()

/** What is to be sent, and comes as something that the server does not understand. */
type Garbled = Set<string>

/** mysql2 and pg write each statement by itself: its text is after five bytes, and pg ends it with a zero. */
function garbling (socket: Socket, garbled: Garbled): Socket {
  const { write } = socket
  return socket.once('connect', () => { // until then, Node takes away what is in its place
    socket.write = (packet: any, ...rest: any[]) => {
      const text: string = packet.toString('latin1', 5).replace('\0', '')
      if (garbled.has(text)) packet.fill('x', 5, 5 + text.length)
      return write.call(socket, packet, ...rest as [])
    }
  })
}

/** Those who make the driver of a pool of one connection. */
const MAKERS: Record<string, (database: TestPool, garbled: Garbled) => Promise<unknown>> = {
  MikroORM: ({ orm }, garbled) => MikroORM.init({
    entities,
    clientUrl: orm.config.get('clientUrl')!,
    driver: MariaDbDriver,
    pool: { min: 0, max: 1 },
    driverOptions: { stream: ({ config }: { config: { host: string, port: number } }) => garbling(connect(config.port, config.host), garbled) }
  }),
  'the user': ({ orm }, garbled) => {
    const url = new URL(orm.config.get('clientUrl')!)
    const pool = createPool({ uri: url.href, connectionLimit: 1, stream: () => garbling(connect(Number(url.port), url.hostname), garbled) })
    return MikroORM.init({ entities, dbName: orm.config.get('dbName'), ensureDatabase: false, driver: MariaDbDriver, driverOptions: new MysqlDialect({ pool }) })
  }
}

/** What the server refuses, and how a context comes to send that. */
const REFUSALS: Array<[refused: string[], transaction: () => Promise<void>, message: RegExp]> = [
  [['rollback'], async () => { throw new Error('no') }, /^no$/],
  [['commit', 'rollback'], async () => {}, /syntax/]
]

for (const maker of Object.keys(MAKERS)) {
  onMariadb(`nothing runs in what a refused rollback has left open, on a driver that was made by ${maker}`, async (t, database) => {
    const garbled: Garbled = new Set()
    const orm = await MAKERS[maker]!(database, garbled) as Orm
    t.teardown(() => orm.close())
    for (const [refused, end, message] of REFUSALS) {
      for (const word of refused) garbled.add(word)
      await t.rejects(runInContext({ orm }, async () => {
        await em().insert(Book, { title: 'rolled back' })
        await end()
      }), { message })
      garbled.clear()
      t.equal(await runInContext({ orm }, () => em().count(Book)), 0, refused.join(', '))
      await runInContext({ orm }, () => em().insert(Book, { title: 'Emma' }))
      t.strictSame(await database.titles(), ['Emma'])
      await orm.em.fork().nativeDelete(Book, {})
      await assertPoolIsWhole(orm, 1)
    }
  })

  onMariadb(`a connection that refuses to begin is not used any more, on a driver that was made by ${maker}`, async (t, database) => {
    const garbled: Garbled = new Set()
    const orm = await MAKERS[maker]!(database, garbled) as Orm
    t.teardown(() => orm.close())
    const id = async (): Promise<number> => (await runInContext({ orm }, () => sql().execute(database.ownId)))[0].id
    const before = await id()
    garbled.add('begin')
    await t.rejects(runInContext({ orm, isolationLevel: 'serializable' }, () => em().insert(Book, { title: 'Emma' })), /syntax/)
    garbled.clear()
    t.not(await id(), before, 'the next transaction there would be serializable')
    await assertPoolIsWhole(orm, 1)
  })
}

/** Through Kysely. */
const OPTIONS: Record<string, (url: string) => object> = {
  MikroORM: clientUrl => ({ clientUrl, pool: { min: 0, max: 1 }, driverOptions: { query_timeout: 200 }, onCreateConnection: async () => {} }),
  'the user': connectionString => ({ driverOptions: new PostgresDialect({ pool: new pg.Pool({ connectionString, max: 1, query_timeout: 200 }) }) })
}

/** Resolves when the server knows of it: what Kysely cancels with throws at the process when the database is dropped before. */
async function close (database: TestPool, orm: Orm): Promise<void> {
  await orm.close()
  await database.orm.close()
  await untilNone(database, () => true)
}

for (const maker of Object.keys(OPTIONS)) {
  onPostgres(`nothing runs in what a rollback has left open that was given up by its driver, which was made by ${maker}`, async (t, database) => {
    const orm = await MikroORM.init({
      entities, dbName: database.orm.config.get('dbName'), ensureDatabase: false, driver: PostgreSqlDriver, ...OPTIONS[maker]!(database.orm.config.get('clientUrl')!)
    } as any) as unknown as Orm
    t.teardown(() => close(database, orm))
    await t.rejects(runInContext({ orm }, async () => {
      await em().insert(Book, { title: 'rolled back' })
      await sql().execute(database.sleep(1))
    }), /Query read timeout/)
    await runInContext({ orm }, () => em().insert(Book, { title: 'Emma' }))
    t.strictSame(await database.titles(), ['Emma'])
    await untilNone(database, ({ isInTransaction }) => isInTransaction)
    await assertPoolIsWhole(orm, 1)
  })
}

onPostgres('what goes on refusing to be rolled back is committed by nobody', async (t, database) => {
  const garbled: Garbled = new Set()
  const pool = new pg.Pool({ connectionString: database.orm.config.get('clientUrl')!, max: 1, stream: () => garbling(new Socket(), garbled) })
  const orm = await MikroORM.init({
    entities, dbName: database.orm.config.get('dbName'), ensureDatabase: false, driver: PostgreSqlDriver, driverOptions: new PostgresDialect({ pool })
  } as any) as unknown as Orm
  t.teardown(() => close(database, orm))
  garbled.add('rollback')
  await t.rejects(runInContext({ orm }, async () => {
    await em().insert(Book, { title: 'rolled back' })
    throw new Error('no')
  }), { message: 'no' })
  garbled.clear()
  await t.rejects(runInContext({ orm }, () => em().insert(Book, { title: 'Persuasion' })), /current transaction is aborted/)
  await runInContext({ orm }, () => em().insert(Book, { title: 'Emma' }))
  t.strictSame(await database.titles(), ['Emma'])
})
