import { MikroORM, SqliteDriver } from '@mikro-orm/sqlite'
import { join } from 'node:path'
import pg from 'pg'
import t from 'tap'
import { context, em, runInContext } from '../../index.ts'
import { PositionTokens } from '../../lib/databases/position-tokens.ts'
import { createSandbox } from '../../testing.ts'
import { Author, Book, onEachPool, onMariadb, onPostgres, type Orm, type TestPool } from '../support/databases.ts'
import { freePort } from '../support/free-port.ts'
import { isOnReplica, withReplica } from '../support/replica-without-tables.ts'
import { startServer } from '../support/server.ts'
import { until } from '../support/until.ts'

const count = (): Promise<number> => em().count(Book)

t.test('a replica of an engine that knows no positions is read from until something was written', async t => {
  const log: string[] = []
  const orm = await MikroORM.init({
    entities: [Author, Book],
    driver: SqliteDriver,
    dbName: join(t.testdir(), 'books.db'),
    replicas: [{ name: 'replica' }],
    debug: ['query'],
    colors: false,
    logger: message => { log.push(/(\w+) connection/.exec(message)![1]!) }
  }) as unknown as Orm
  t.teardown(() => orm.close())
  await orm.schema.create()
  log.length = 0
  await runInContext({ orm }, async () => {
    await count()
    await em().insert(Book, { title: 'Emma' })
    await count()
  })
  t.strictSame(log, ['read', 'write', 'write', 'write', 'write'])
})

/** A replica where nothing listens. */
async function withDeadReplica ({ another }: TestPool): Promise<Orm> {
  return await another({ replicas: [{ host: '127.0.0.1', port: await freePort(), name: 'gone' }] })
}

onEachPool('what would begin or be read on a replica that is not there is done on the primary', async (t, database) => {
  const [first, second, third] = [await withDeadReplica(database), await withDeadReplica(database), await withDeadReplica(database)]
  t.equal(await runInContext({ orm: first, readOnly: true }, count), 0, 'it was not known yet')
  t.equal(await runInContext({ orm: first, readOnly: true }, count), 0, 'and is known now')
  t.equal(await runInContext({ orm: second }, count), 0)
  t.equal(await runInContext({ orm: third, transaction: false }, async () => {
    await em().getConnection('write').execute('select 1')
    return await count().catch(count) // MikroORM itself sends it, and the heartbeat hears of it
  }), 0)
})

onEachPool('a replica on which a transaction cannot begin is told of once, and the wait for it is over', async (t, database) => {
  const orm = await withDeadReplica(database)
  const { get, log } = await startServer(t, { orm }, app => {
    app.get('/', { config: { orm: { readOnly: true } } }, async () => {
      await count()
      return { isWaiting: context().isWaiting, state: context().state }
    })
  })
  for (let i = 0; i < 2; i++) t.strictSame(await (await get('/')).json(), { isWaiting: false, state: 'held' })
  t.match(log, [{ level: 40, msg: /the replica "gone" is left out for some seconds \(.*ECONNREFUSED/ }])
  t.equal(log.length, 1)
})

onPostgres('a replica that does not say where it is, and answers, is read from', async (t, database) => {
  const { observe } = database
  await observe("drop role if exists reader; create role reader login password 'reader'; create table seen (id int); grant select on seen to reader")
  await observe('revoke execute on function pg_control_system() from public')
  t.teardown(() => observe('grant execute on function pg_control_system() to public; drop owned by reader; drop role reader'))
  const url = new URL(database.orm.config.get('clientUrl')!)
  url.username = url.password = 'reader'
  const orm = await database.another({ replicas: [{ clientUrl: url.href, user: 'reader', password: 'reader', name: 'replica' }] })
  const who = async (): Promise<string> => (await (em() as any).execute('select current_user as name, id from seen right join (select 1) one on true'))[0].name
  await runInContext({ orm }, who)
  await until(async () => (await observe("select 1 from pg_stat_activity where usename = 'reader' and query like '%pg_control_system%' and state = 'idle'")).length > 0)
  for (let i = 0; i < 3; i++) t.equal(await runInContext({ orm, readOnly: true }, who), 'reader')
})

onPostgres('a context that a replica has failed a read of goes on with the primary, which may be further', async (t, { orm, another, observe }) => {
  const url = new URL(orm.config.get('clientUrl')!)
  const dbName = `${url.pathname.slice(1)}_replica`
  url.pathname = `/${dbName}`
  await observe(`create database ${dbName}`)
  t.teardown(() => observe(`drop database ${dbName} with (force)`))
  const replica = new pg.Client({ connectionString: url.href })
  await replica.connect()
  await replica.query("create function conflict () returns int language plpgsql as $$ begin raise 'stopped' using errcode = '40001'; end $$")
  await replica.query('create view book as select conflict() as id; create table balance as select 50 as amount')
  await replica.end()
  await observe('create table balance as select 100 as amount')
  const replicated = await another({ replicas: [{ clientUrl: url.href, dbName, name: 'replica' }] })
  const balance = async (): Promise<number> => (await (em() as any).execute('select amount from balance'))[0].amount
  t.equal(await runInContext({ orm: replicated }, balance), 50)
  await runInContext({ orm: replicated }, async () => {
    t.equal(await count(), 0)
    t.equal(await balance(), 100)
  })
  t.equal(await runInContext({ orm: replicated }, balance), 50, 'the next one reads there again')
})

onEachPool('MikroORM reads from the primary where it was told not to prefer replicas, and in a sandbox', async (t, database) => {
  const orm = await withReplica(database, { preferReadReplicas: false })
  for (const transaction of ['on-write', false] as const) t.equal(await runInContext({ orm, transaction }, count), 0)
  const other = await withReplica(database)
  const sandbox = await createSandbox(other)
  t.teardown(() => sandbox.rollback())
  t.equal(await sandbox.run(() => runInContext({ orm: other }, count)), 0)
})

onMariadb('a branch that has to see more than its context reads what has that', async (t, database) => {
  const orm = await withReplica(database)
  const settings = { readYourWrites: 'header', secrets: ['of the test'], wait: 0, maxAge: 60_000 } as const
  const { post } = await startServer(t, { orm, replicas: { readYourWrites: 'header', secret: 'of the test', wait: 0 } }, app => {
    app.post('/', async () => {
      await isOnReplica(t, count, 'before')
      const after = new PositionTokens(settings).make(new Map([['default', '0-1-999999999']]))!
      return [await runInContext({ after }, count), await count()]
    })
  })
  t.strictSame(await (await post('/')).json(), [0, 0], 'which is the primary, since no replica has it')
})
