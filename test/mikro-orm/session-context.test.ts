import type { SqlEntityManager } from '@mikro-orm/sql'
import { afterCommit, em, runInContext } from '../../index.ts'
import { Book, onEachDatabase, onPostgres, type Orm } from '../support/databases.ts'
import { startServer } from '../support/server.ts'

async function createTenants (orm: Orm): Promise<void> {
  await orm.em.fork().execute(`
    create table note (tenant int not null default current_setting('app.tenant')::int, body text);
    alter table note enable row level security;
    alter table note force row level security;
    create policy tenant on note using (tenant = current_setting('app.tenant')::int);
    do $$ begin if not exists (select from pg_roles where rolname = 'tenant_user') then create role tenant_user; end if; end $$;
    grant all on note to tenant_user;
  `)
}

async function execute (sql: string): Promise<any> {
  return await (em() as unknown as SqlEntityManager).execute(sql)
}

// MikroORM has session contexts on PostgreSQL only

onPostgres('a session context applies to every statement of its request, and to no other', async (t, { orm, sent, taken }) => {
  await createTenants(orm)
  const late = Promise.withResolvers<any>()
  const { get, post } = await startServer(t, { orm }, app => {
    app.addHook('onRequest', async request => {
      const tenant = Number(request.headers.tenant ?? new URL(request.url, 'http://x').searchParams.get('tenant'))
      const target = request.method === 'GET' ? em() : orm.em
      target.setSessionContext({ variables: { 'app.tenant': tenant }, role: 'tenant_user' })
    })
    app.get('/', async (_request, reply) => {
      const notes = await execute('select body from note')
      await reply.send(notes)
      await execute('select body from note').catch(late.resolve)
    })
    app.post('/', async request => {
      await execute(`insert into note (body) values ('of ${new URL(request.url, 'http://x').searchParams.get('tenant')}')`)
      return execute('select body from note')
    })
  })
  await Promise.all([1, 2, 1, 2].map(tenant => post(`/?tenant=${tenant}`)))
  sent.length = 0
  t.strictSame(await (await get('/?tenant=1')).json(), [{ body: 'of 1' }, { body: 'of 1' }])
  t.equal(sent[0], 'begin')
  t.match(await late.promise, { code: 'FST_ORM_CONTEXT_ENDED' }, 'outside the transaction, other tenants\' rows would show')
  const answers = await Promise.all(Array.from({ length: 20 }, async (_, i) => {
    const notes = await (await get(`/?tenant=${i % 2 + 1}`)).json() as { body: string }[]
    return notes.every(({ body }) => body === `of ${i % 2 + 1}`)
  }))
  t.ok(answers.every(Boolean))
  t.equal(taken(), 0)
})

onPostgres('a session context can be set and cleared until the transaction has begun', async (t, { orm }) => {
  await createTenants(orm)
  const { post } = await startServer(t, { orm }, app => {
    app.post('/', async () => {
      em().setSessionContext({ variables: { 'app.tenant': 1 } })
      orm.em.clearSessionContext()
      t.equal(em().getSessionContext(), undefined)
      em().setFilterParams('tenant', { tenant: 1 })
      em().setSessionContext({ variables: { 'app.tenant': 2 } })
      t.strictSame(await execute("select current_setting('app.tenant') as tenant"), [{ tenant: '2' }])
      for (const change of [() => em().setSessionContext({ variables: { 'app.tenant': 3 } }), () => orm.em.clearSessionContext()]) {
        t.throws(change, /session context .* transaction/i)
      }
      t.strictSame(await execute("select current_setting('app.tenant') as tenant"), [{ tenant: '2' }])
      await em().insert(Book, { title: 'Emma' })
      return 'ok'
    })
  })
  t.equal((await post('/')).status, 200)
})

onPostgres('a session context that cannot be applied fails the statement and gives the connection back', async (t, { orm, taken }) => {
  const { failure, post } = await startServer(t, { orm }, app => {
    app.post('/', async () => {
      em().setSessionContext({ role: 'nobody_of_that_name' })
      return em().count(Book)
    })
  })
  for (let i = 0; i < 7; i++) t.match(await failure(post('/')), { statusCode: 500, message: /nobody_of_that_name/ })
  t.equal(taken(), 0)
})

onPostgres('a branch of a request is of the same tenant, and a job with databases of its own is not', async (t, { orm, taken }) => {
  await createTenants(orm)
  await orm.em.fork().execute('insert into note (tenant, body) values (1, \'of 1\'), (2, \'of 2\')')
  const read = (): Promise<any[]> => execute('select body from note')
  const { get } = await startServer(t, { orm }, app => {
    app.addHook('onRequest', async request => {
      request.em.setSessionContext({ variables: { 'app.tenant': Number(request.headers.tenant ?? 1) }, role: 'tenant_user' })
    })
    app.get('/', async () => {
      const [own, branch] = await Promise.all([read(), runInContext(read)])
      const nested = await runInContext(() => runInContext({ readOnly: true }, read))
      const inside = await em().transactional(() => runInContext(read))
      let after: any
      afterCommit(async () => { after = await runInContext(read) })
      await em().commit()
      return { own, branch, nested, inside, after, job: await runInContext({ orm }, read) }
    })
  })
  const [note] = [[{ body: 'of 1' }]]
  t.strictSame(await (await get('/')).json(), {
    own: note, branch: note, nested: note, inside: note, after: note, job: [{ body: 'of 1' }, { body: 'of 2' }]
  })
  t.equal(taken(), 0)
})

onPostgres('a branch that outlives its request keeps the tenant', async (t, { orm, taken }) => {
  await createTenants(orm)
  await orm.em.fork().execute('insert into note (tenant, body) values (1, \'of 1\'), (2, \'of 2\')')
  const read = (): Promise<any[]> => execute('select body from note')
  const closed = Promise.withResolvers<void>()
  const seen: Promise<any[]>[] = []
  const { get } = await startServer(t, { orm }, app => {
    app.addHook('onRequest', async request => {
      request.em.setSessionContext({ variables: { 'app.tenant': 1 }, role: 'tenant_user' })
    })
    app.get('/', async (_request, reply) => {
      reply.raw.on('close', closed.resolve)
      const late = (): Promise<any[]> => closed.promise.then(() => runInContext(read))
      seen.push(runInContext(async () => { await closed.promise; return await read() }), late())
      seen.push(runInContext(() => late()))
      await runInContext(async () => { seen.push(late()) })
      return { ok: true }
    })
  })
  await get('/')
  t.ok(seen.length >= 4)
  for (const notes of await Promise.all(seen)) t.strictSame(notes, [{ body: 'of 1' }])
  t.equal(taken(), 0)
})

onEachDatabase('filters and the schema are those of the request as well', async (t, { orm, kind }) => {
  await orm.em.fork().insertMany(Book, [{ title: 'a', stock: 1 }, { title: 'b', stock: 2 }])
  const titlesOf = async (): Promise<string[]> => (await em().find(Book, {})).map(book => book.title)
  await runInContext({ orm }, async () => {
    em().addFilter({ name: 'shelf', cond: ({ stock }: any) => ({ stock }), entity: Book, default: true } as any)
    em().setFilterParams('shelf', { stock: 2 })
    t.strictSame(await titlesOf(), ['b'])
    t.strictSame(await runInContext(titlesOf), ['b'])
    t.strictSame((await runInContext({ orm }, titlesOf)).sort(), ['a', 'b'], 'which is no branch')
  })
  if (kind === 'sqlite') return
  await runInContext({ orm }, async () => {
    em().schema = 'elsewhere'
    await runInContext(async () => { t.equal(em().schema, 'elsewhere') })
  })
})
