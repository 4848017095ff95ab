import { MikroORM, MySqlDriver } from '@mikro-orm/mysql'
import type { SqlEntityManager } from '@mikro-orm/sql'
import t from 'tap'
import { IdempotencyKey } from '../../../idempotency.ts'
import { em } from '../../../index.ts'
import { Author, Book, type Orm } from '../../support/databases.ts'
import { freshMariadb } from '../../support/fresh-mariadb.ts'
import { until } from '../../support/until.ts'
import { withoutMariadb } from '../../support/without-servers.ts'
import { ONCE, startKeyedServer, type KeyedServer } from './keyed-server.ts'

t.test("MikroORM's driver for MySQL, on the server of MariaDB: who has waited for long enough gets 409, and its connection is well", { skip: withoutMariadb }, async t => {
  const { url, query } = await freshMariadb()
  const gate = Promise.withResolvers<void>()
  const servers: KeyedServer[] = []
  let handled = 0
  while (servers.length < 2) {
    const orm = await MikroORM.init({ entities: [Author, Book, IdempotencyKey], clientUrl: url, driver: MySqlDriver, pool: { min: 0, max: 1 } }) as unknown as Orm
    t.teardown(() => orm.close())
    await orm.schema.update({ safe: true })
    servers.push(await startKeyedServer(t, { orm }, app => {
      for (const [path, wait] of [['/', 0], ['/patient', 2 ** 31 - 1]] as const) {
        app.post(path, { config: { idempotency: { wait } } }, async () => {
          if (++handled === 1) await gate.promise
          return em().create(Book, { title: `${handled}` })
        })
      }
      app.post('/lock-timeout', async () => (em() as SqlEntityManager).execute('select @@innodb_lock_wait_timeout as t, connection_id() as id'))
      app.post('/other', { config: ONCE }, async () => ({}))
    }))
  }
  const [one, other] = servers as [KeyedServer, KeyedServer]
  const before = await other.post('/lock-timeout')
  const first = one.post('/', 'a')
  await until(() => handled === 1)
  const startedAt = performance.now()
  t.match(await other.post('/', 'a'), { status: 409, json: { code: 'FST_ORM_IDEMPOTENCY_IN_PROGRESS' } })
  t.ok(performance.now() - startedAt < 10_000, 'and not after the 50 s of the server')
  t.equal((await other.post('/lock-timeout')).body, before.body, 'on the same connection')
  t.equal((await other.post('/other', 'b')).status, 200)
  const patient = other.post('/patient', 'c')
  gate.resolve()
  t.equal((await first).status, 200)
  t.equal((await patient).status, 200)
  t.equal((await other.post('/', 'a')).body, (await first).body)
  t.strictSame((await query('select title from book')).map(({ title }) => title).sort(), ['1', '2'])
})
