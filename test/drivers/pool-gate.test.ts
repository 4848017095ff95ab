import { Kysely, MikroORM, SqliteDriver, type SqlEntityManager } from '@mikro-orm/sqlite'
import { PostgreSqlDriver } from '@mikro-orm/postgresql'
import { PostgresDialect } from 'kysely'
import pg from 'pg'
import t from 'tap'
import { driverOf } from '../../lib/drivers/driver-of.ts'
import type { PoolGate } from '../../lib/drivers/pool-gate.ts'
import { Author, Book } from '../support/databases.ts'

async function gate (options: object): Promise<PoolGate> {
  const orm: any = await MikroORM.init({ entities: [Author, Book], driver: PostgreSqlDriver as any, dbName: 'none', ...options })
  t.teardown(() => orm.close())
  return driverOf(orm.em as SqlEntityManager).gate
}

t.test('the size is that of the pool, however it was given', async t => {
  t.equal((await gate({})).size, 10)
  t.equal((await gate({ pool: { max: 3 } })).size, 3)
  t.equal((await gate({ pool: { max: 3 }, driverOptions: { max: 4 } })).size, 4)
  t.equal((await gate({ driverOptions: { connectionLimit: 5 } })).size, 5)
  const dialect = new PostgresDialect({ pool: new pg.Pool({ max: 2 }) })
  t.equal((await gate({ driverOptions: dialect })).size, Infinity, 'whose pool cannot be seen')
  t.equal((await gate({ driverOptions: new Kysely({ dialect }) })).size, Infinity)
  t.equal((await gate({ driverOptions: () => ({ max: 5 }) })).size, Infinity)
  t.equal((await gate({ driver: SqliteDriver, dbName: ':memory:' })).size, Infinity, 'one connection, for which transactions wait anyway')
})

t.test('as long as there were no inner ones, the outer ones get all of it, in turn', async t => {
  const pool = await gate({ pool: { max: 2 } })
  t.equal(pool.acquire(0), undefined)
  t.equal(pool.acquire(0), undefined)
  const admitted: string[] = []
  const waiting = ['a', 'b'].map(name => pool.acquire(0)!.then(() => admitted.push(name)))
  await Promise.resolve()
  t.strictSame(admitted, [])
  pool.release()
  await waiting[0]
  t.strictSame(admitted, ['a'])
  pool.release()
  await waiting[1]
  t.strictSame(admitted, ['a', 'b'])
})

t.test('inner ones come first, and keep a connection to themselves from then on', async t => {
  const pool = await gate({ pool: { max: 3 } })
  for (let i = 0; i < 3; i++) t.equal(pool.acquire(0), undefined)
  const admitted: string[] = []
  const enter = (name: string, depth: number): Promise<void> => pool.acquire(depth)!.then(() => { admitted.push(name) })
  const outer = enter('outer', 0)
  pool.note(1)
  const inner = enter('inner', 1)
  const innerToo = enter('inner too', 1)
  pool.release()
  await inner
  t.strictSame(admitted, ['inner'])
  pool.release()
  await innerToo
  pool.release()
  pool.release()
  await outer
  t.strictSame(admitted, ['inner', 'inner too', 'outer'])
  pool.release()
  pool.release()
  t.equal(pool.acquire(0), undefined)
  t.equal(pool.acquire(0), undefined)
  t.ok(pool.acquire(0) instanceof Promise, 'two of three')
  t.equal(pool.acquire(1), undefined, 'and the third for an inner one')
})

t.test('a pool that is smaller than the contexts are deep admits one', async t => {
  const pool = await gate({ pool: { max: 1 } })
  pool.note(4)
  t.equal(pool.acquire(0), undefined)
  t.ok(pool.acquire(4) instanceof Promise)
})
