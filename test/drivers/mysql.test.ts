import { MikroORM, MySqlDriver } from '@mikro-orm/mysql'
import t from 'tap'
import { em, runInContext } from '../../index.ts'
import { createSandbox } from '../../testing.ts'
import { Author, Book, type Orm } from '../support/databases.ts'
import { freshMariadb } from '../support/fresh-mariadb.ts'
import { startServer } from '../support/server.ts'
import { withoutMariadb } from '../support/without-servers.ts'

t.test("MikroORM's driver for MySQL, on the server of MariaDB", { skip: withoutMariadb }, async t => {
  const { url, query } = await freshMariadb()
  const orm = await MikroORM.init({ entities: [Author, Book], clientUrl: url, driver: MySqlDriver, pool: { min: 0, max: 2 } }) as unknown as Orm
  t.teardown(() => orm.close())
  await orm.schema.create()
  const titles = async (): Promise<string[]> => (await query('select title from book')).map(({ title }) => title).sort()

  const { failure, get, post } = await startServer(t, { orm }, app => {
    app.get('/', async () => em().count(Book))
    app.post('/', async () => em().create(Book, { title: 'Emma' }))
    app.post('/throw', async () => {
      await em().insert(Book, { title: 'lost' })
      throw new Error('no')
    })
    app.post('/nested', async () => {
      await em().transactional(async () => {
        await em().insert(Book, { title: 'lost' })
        throw new Error('no')
      }).catch(() => {})
      await em().insert(Book, { title: 'Persuasion' })
    })
  })
  t.match(await (await post('/')).json(), { title: 'Emma', id: Number })
  t.match(await failure(post('/throw')), { message: 'no' })
  t.equal((await post('/nested')).status, 200)
  t.equal((await post('/')).status, 409, 'there is one already')
  t.equal(await (await get('/')).text(), '2')
  t.strictSame(await titles(), ['Emma', 'Persuasion'])

  await t.rejects(runInContext({ orm }, async () => {
    await em().insert(Book, { title: 'lost' })
    await (em() as any).execute('truncate book')
  }), { code: 'FST_ORM_IMPLICIT_COMMIT' })
  const sandbox = await createSandbox(orm)
  await sandbox.run(() => post('/nested').then(response => { t.equal(response.status, 409) }))
  await sandbox.run(() => runInContext({ orm }, () => em().insert(Book, { title: 'in the sandbox' })))
  t.equal(await sandbox.em.count(Book), 3)
  await sandbox.rollback()
  t.strictSame(await titles(), ['Emma', 'Persuasion'])
})
