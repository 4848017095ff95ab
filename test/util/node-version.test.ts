import t from 'tap'
import contextOrm, { runInContext } from '../../index.ts'
import Fastify from 'fastify'
import { checkNode } from '../../lib/util/node-version.ts'
import { checkKysely } from '../../lib/drivers/internals.ts'
import { onSqlite } from '../support/databases.ts'

t.test('a Node that is too old is refused in words', async t => {
  for (const version of ['22.17.0', '22.18.1', '24.0.0']) t.doesNotThrow(() => checkNode(version), version)
  for (const version of ['20.20.2', '22.16.0']) {
    t.throws(() => checkNode(version), { code: 'FST_ORM_UNSUPPORTED', message: `need Node 22.17 or newer, and this is Node ${version}` })
  }
})

onSqlite('a MikroORM that lacks what is used of it is refused when the plugin loads', async (t, { orm }) => {
  const connection: any = orm.driver.getConnection('write')
  connection.applySessionContext = undefined
  const app = Fastify()
  t.teardown(() => app.close())
  const expected = { code: 'FST_ORM_UNSUPPORTED', message: /needs AbstractSqlConnection\.applySessionContext\(\), which MikroORM 7\.2\.\d+ does not have\. It works with MikroORM 7\.2/ }
  await t.rejects(async () => await app.register(contextOrm, { orm }), expected)
  await t.rejects(runInContext({ orm }, () => {}), expected)
  delete connection.applySessionContext
  await t.resolves(runInContext({ orm }, () => {}))
})

onSqlite('and so is a Kysely, when it is first used', async (t, { orm }) => {
  const client: any = orm.em.getConnection().getClient()
  t.doesNotThrow(() => checkKysely(client))
  const executor = Object.assign(Object.create(client.getExecutor()), { withConnectionProvider: undefined })
  t.throws(() => checkKysely(Object.assign(Object.create(client), { getExecutor: () => executor })), { code: 'FST_ORM_UNSUPPORTED', message: "needs Kysely's QueryExecutor.withConnectionProvider()" })
})
