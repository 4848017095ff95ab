import { PglitePlatform } from '@mikro-orm/pglite'
import { MikroORM, type SqlEntityManager } from '@mikro-orm/sqlite'
import { BaseMySqlPlatform, BasePostgreSqlPlatform, SqlitePlatform, type AbstractSqlPlatform } from '@mikro-orm/sql'
import t from 'tap'
import { driverOf } from '../../lib/drivers/driver-of.ts'
import { DRIVER } from '../../lib/drivers/driver.ts'
import { Author, Book } from '../support/databases.ts'

const orm = await MikroORM.init({ entities: [Author, Book], dbName: ':memory:' })
await orm.connect()
t.teardown(() => orm.close())

/** An EntityManager whose connection says that it is one of another database. */
function emOn (platform: AbstractSqlPlatform, own = {}): SqlEntityManager {
  const connection = Object.assign(Object.create(orm.em.getConnection()), { getPlatform: () => platform, getClient: () => orm.em.getConnection().getClient() }, own)
  return Object.create(orm.em, { getConnection: { value: () => connection } })
}

/** None that this plugin knows. */
const unknown = Object.assign(new BaseMySqlPlatform(), { supportsUnsigned: () => false })

t.test('each engine has its driver, and what is unknown has one that leaves all to Kysely', async t => {
  const drivers = [new BasePostgreSqlPlatform(), new SqlitePlatform(), new BaseMySqlPlatform(), unknown].map(platform => driverOf(emOn(platform)))
  t.strictSame(drivers.map(({ constructor, dialect }) => [constructor.name, dialect]), [
    ['PostgresqlDriver', 'postgresql'], ['SqliteDriver', 'sqlite'], ['MysqlDriver', 'mysql'], ['KyselyDriver', 'unknown']
  ])
})

t.test('what has the dialect of PostgreSQL, and takes one statement at a time, is PGlite', async t => {
  const { constructor, dialect, isPool } = driverOf(emOn(new PglitePlatform()))
  t.strictSame([constructor.name, dialect, isPool], ['PgliteDriver', 'postgresql', false])
})

t.test('a connection has one driver, or the one that it has brought', async t => {
  const em = emOn(new SqlitePlatform())
  t.equal(driverOf(em), driverOf(em))
  t.not(driverOf(em), driverOf(emOn(new SqlitePlatform())))
  const brought = {}
  t.equal(driverOf(emOn(new SqlitePlatform(), { [DRIVER]: brought })), brought)
})
