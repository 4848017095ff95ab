import { NodeSqliteDialect } from '@mikro-orm/sql'
import { MikroORM, SqliteDriver } from '@mikro-orm/sqlite'
import type { Driver } from 'kysely'
import t from 'tap'
import { em, runInContext } from '../../index.ts'
import { Author, Book, onEachDatabase, type Orm } from '../support/databases.ts'

/** MikroORM's words for savepoints mean the same, and so do both quotes. */
function inWordsOfKysely (sql: string): string {
  return sql.replace(/^(release|rollback to) savepoint/, '$1').replaceAll('`', '"')
}

/** All that a transaction can be asked for. */
async function useTransactions (orm: Orm): Promise<void> {
  await runInContext({ orm }, async () => {
    await em().insert(Book, { title: 'Emma' })
    await em().transactional(async inner => { await inner.insert(Book, { title: 'Persuasion' }) })
    await em().transactional(async inner => {
      await inner.insert(Book, { title: 'Sanditon' })
      throw new Error('no')
    }).catch(() => {})
  })
  await runInContext({ orm }, async () => {
    await em().insert(Book, { title: 'Lesley Castle' })
    throw new Error('no')
  }).catch(() => {})
}

onEachDatabase('a transaction sends what one of Kysely\'s sends, which subscribers get', async (t, { orm, sent, titles }) => {
  await useTransactions(orm)
  const plain = sent.splice(0).map(inWordsOfKysely)
  t.strictSame(await titles(), ['Emma', 'Persuasion'])
  await orm.em.fork().nativeDelete(Book, {})
  sent.length = 0

  const transactions: unknown[] = []
  orm.em.getEventManager().registerSubscriber({
    async afterTransactionStart ({ transaction }) {
      transactions.push(await orm.em.getConnection().execute('select 1 as one', [], 'get', transaction as never))
    }
  })
  await useTransactions(orm)
  t.strictSame(transactions, [{ one: 1 }, { one: 1 }, { one: 1 }, { one: 1 }], 'and savepoints are told of as well')
  t.strictSame(plain, sent.filter(sql => !sql.includes('one')).map(inWordsOfKysely))
  t.strictSame(plain.filter(sql => /^(?:begin|commit|rollback)$/.test(sql)), ['begin', 'commit', 'begin', 'rollback'])
})

t.test('a driver of the user\'s own begins and ends transactions itself', async t => {
  const called: string[] = []
  class OwnDialect extends NodeSqliteDialect {
    override createDriver (): Driver {
      const driver = super.createDriver()
      for (const method of ['beginTransaction', 'commitTransaction', 'rollbackTransaction'] as const) {
        const inherited = driver[method].bind(driver) as (...args: unknown[]) => Promise<void>
        driver[method] = async (...args: unknown[]) => {
          called.push(method)
          await inherited(...args)
        }
      }
      return driver
    }
  }
  const orm = await MikroORM.init({
    entities: [Author, Book], driver: SqliteDriver, dbName: ':memory:', driverOptions: new OwnDialect(':memory:')
  }) as unknown as Orm
  t.teardown(() => orm.close())
  await orm.schema.create()
  called.length = 0
  await useTransactions(orm)
  t.strictSame(called, ['beginTransaction', 'commitTransaction', 'beginTransaction', 'rollbackTransaction'])
  t.strictSame((await orm.em.fork().find(Book, {})).map(({ title }) => title), ['Emma', 'Persuasion'])
})
