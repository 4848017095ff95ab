import { get as httpGet } from 'node:http'
import { Readable } from 'node:stream'
import type { SqlEntityManager } from '@mikro-orm/sql'
import type { Test } from 'tap'
import { em, runInContext } from '../../index.ts'
import { Book, onPostgres, type TestDatabase } from '../support/databases.ts'
import { startPgBouncer, withoutPgBouncer } from '../support/pgbouncer.ts'
import { startServer, type Server } from '../support/server.ts'
import { until } from '../support/until.ts'
import { assertPoolIsWhole } from '../support/whole-pool.ts'

const sql = (): SqlEntityManager => em() as unknown as SqlEntityManager
const POOL = 5

/** A test of what is seen through a PgBouncer that pools by transaction. */
function throughPgBouncer (name: string, run: (t: Test, database: TestDatabase) => Promise<void>, settings: string[] = []): void {
  onPostgres(`through PgBouncer, ${name}`, async (t, database) => {
    const bouncer = await startPgBouncer(new URL(database.orm.config.get('clientUrl')!), settings)
    t.teardown(() => bouncer.stop())
    await run(t, { ...database, orm: await database.another({ clientUrl: bouncer.url }) })
  }, { skip: withoutPgBouncer })
}

throughPgBouncer('a client that leaves cancels its statement', async (t, { orm, observe, titles }) => {
  const { app, post } = await startServer(t, { orm }, app => {
    app.get('/read', async () => await sql().execute('select count(*) from generate_series(1, 1000000000)'))
    app.get('/write', async () => {
      await em().insert(Book, { title: 'taken back' })
      await sql().execute('select pg_sleep(60)')
    })
    app.post('/', async () => em().create(Book, { title: 'Emma' }))
  })
  const active = (condition: string): string => `select 1 from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and ${condition}`
  for (const [path, running] of Object.entries({ '/read': active("query like '%generate_series%' and state = 'active'"), '/write': active("wait_event = 'PgSleep'") })) {
    const request = httpGet(app.listeningOrigin + path).on('error', () => {})
    await until(async () => (await observe(running)).length === 1)
    request.destroy()
    await until(async () => (await observe(running)).length === 0)
  }
  t.match(await (await post('/')).json(), { title: 'Emma' })
  t.strictSame(await titles(), ['Emma'])
})

throughPgBouncer('requests end as they do without it', async (t, { orm, titles, taken }) => {
  const write = (title: string): Promise<unknown> => em().insert(Book, { title })
  const server = await startServer(t, { orm }, app => {
    app.post('/replied', async () => em().create(Book, { title: 'replied' }))
    app.post('/thrown', async () => {
      await write('thrown')
      throw new Error('take it back')
    })
    app.post('/status', async (_request, reply) => {
      await write('status')
      return reply.code(422).send({})
    })
    app.post('/twice', async () => [em().create(Book, { title: 'twice' }), em().create(Book, { title: 'twice' })])
    app.post('/nested', async () => {
      await write('outer')
      await em().transactional(async em => {
        await em.insert(Book, { title: 'inner' })
        throw new Error('to the savepoint')
      }).catch(() => {})
      return {}
    })
    app.post('/branches', async () => {
      await runInContext(() => write('branch'))
      await runInContext(async () => {
        await write('failed branch')
        throw new Error('take it back')
      }).catch(() => {})
      throw new Error('without its branch')
    })
    app.post('/by-hand', async () => {
      await write('by hand')
      await sql().commit()
      await write('taken back by hand')
      await sql().rollback()
      return {}
    })
    app.get('/serializable', { config: { orm: { isolationLevel: 'serializable', readOnly: true } } }, async () => (
      (await sql().execute("select current_setting('transaction_isolation') as level, current_setting('transaction_read_only') as read_only"))[0]
    ))
    app.get('/stream', async () => Readable.from((async function * () {
      for await (const { title } of em().stream(Book, { orderBy: { title: 1 } })) yield `${title};`
    })()))
  })
  const endings = { replied: 200, thrown: 500, status: 422, twice: 409, nested: 200, branches: 500, 'by-hand': 200 }
  const answers = await Promise.all(Object.keys(endings).map(async path => [path, (await server.post(`/${path}`)).status]))
  t.strictSame(Object.fromEntries(answers), endings)
  const written = ['branch', 'by hand', 'outer', 'replied']
  t.strictSame(await titles(), written)
  t.strictSame(await (await server.get('/serializable')).json(), { level: 'serializable', read_only: 'on' })
  t.equal(await (await server.get('/stream')).text(), written.map(title => `${title};`).join(''))
  await until(() => taken() === 0)
}, ['default_pool_size=3'])

throughPgBouncer('setSessionContext() is of its request, though all share two connections', async (t, { orm }) => {
  const { get } = await startServer(t, { orm }, app => {
    app.get('/:tenant', async request => {
      const { tenant } = request.params as { tenant: string }
      em().setSessionContext({ variables: { 'app.tenant': tenant } })
      const read = async (): Promise<string> => (await sql().execute<any[]>("select current_setting('app.tenant') as tenant"))[0].tenant
      return [tenant, await read(), await read()]
    })
    app.get('/', async () => (await sql().execute("select current_setting('app.tenant', true) as tenant"))[0])
  })
  const seen = await Promise.all(Array.from({ length: 60 }, async (_, i) => await (await get(`/${i}`)).json() as string[]))
  t.strictSame(seen, seen.map(([tenant]) => Array(3).fill(tenant)))
  const left = await Promise.all(Array.from({ length: 10 }, async () => (await (await get('/')).json() as { tenant: string | null }).tenant))
  t.ok(left.every(tenant => !tenant), 'nothing is left on the connections')
}, ['default_pool_size=2'])

throughPgBouncer('a pool that is larger than the pooler\'s waits there, and who waits too long gets 503', async (t, { orm, titles }) => {
  const held = Promise.withResolvers<void>()
  const server: Server = await startServer(t, { orm }, app => {
    app.post('/:title', async request => {
      const { title } = request.params as { title: string }
      await em().insert(Book, { title })
      if (title === 'holds') await held.promise
      return {}
    })
  })
  const holding = server.post('/holds')
  const waiting = await Promise.all(Array.from({ length: POOL - 1 }, (_, i) => server.post(`/waits-${i}`)))
  t.strictSame(waiting.map(({ status, headers }) => [status, headers.get('retry-after')]), Array(POOL - 1).fill([503, '1']))
  held.resolve()
  t.equal((await holding).status, 200)
  t.equal((await server.post('/later')).status, 200)
  t.strictSame(await titles(), ['holds', 'later'])
  await assertPoolIsWhole(orm, POOL)
}, ['default_pool_size=1', 'query_wait_timeout=1'])
