import Fastify from 'fastify'
import t from 'tap'
import contextOrm, { em, runInContext } from '../../index.ts'
import { allowSandboxes, createSandbox } from '../../testing.ts'
import { Book, onEachPool, onEveryEngine } from '../support/databases.ts'
import { startServer } from '../support/server.ts'

onEveryEngine('requests over sockets join a sandbox by its headers', async (t, { orm, titles, taken }) => {
  const { app, log } = await startServer(t, { orm }, app => {
    app.post('/', async () => {
      const before = await runInContext(() => em().count(Book))
      await em().insert(Book, { title: `book ${before}` })
      return { before }
    })
    app.get('/fork', async () => orm.em.fork().count(Book))
  })
  allowSandboxes(app)
  const url = `http://127.0.0.1:${(app.server.address() as any).port}`
  const sandbox = await createSandbox(orm)
  const post = async (headers: Record<string, string>): Promise<Response> => fetch(url, { method: 'POST', headers })
  t.strictSame(await (await post(sandbox.headers)).json(), { before: 0 })
  t.strictSame(await (await post(sandbox.headers)).json(), { before: 1 })
  t.equal(await (await fetch(`${url}/fork`, { headers: sandbox.headers })).text(), '2')
  t.strictSame((await sandbox.em.findAll(Book, { orderBy: { title: 'asc' } })).map(({ title }) => title), ['book 0', 'book 1'])
  const { headers } = sandbox
  await sandbox.rollback()
  t.equal((await post(headers)).status, 500, 'a sandbox that is over is not the database itself')
  t.match(log.at(-1)?.err, { code: 'FST_ORM_SANDBOX_ENDED', message: /^POST \/ comes too late: its sandbox has been rolled back, or is another process's\./ })
  t.equal((await fetch(`${url}/nowhere`, { headers })).status, 500)
  t.match(log.at(-1)?.err?.message, /^GET \(no route found\) comes too late/)
  t.strictSame(await titles(), [])
  t.equal((await post({})).status, 200)
  t.strictSame(await titles(), ['book 0'])
  t.equal(taken(), 0)
})

onEachPool('an app that was not passed to allowSandboxes() ignores the headers', async (t, { orm, titles }) => {
  const { app, post } = await startServer(t, { orm }, app => {
    app.post('/', async () => { await em().insert(Book, { title: 'Emma' }) })
  })
  await using sandbox = await createSandbox(orm)
  t.equal((await post('/')).status, 200)
  t.equal((await app.inject({ method: 'POST', url: '/', headers: { ...sandbox.headers } })).statusCode, 409, 'the database itself has one')
  t.strictSame(await titles(), ['Emma'])
})

onEachPool('a sandbox has the databases that it was given, and no others', async (t, { orm, kind, unconnected, another, taken }) => {
  const reporting = await another({ contextName: 'reporting' })
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(contextOrm, { orm: [orm, reporting] })
  app.post('/', async () => {
    em().create(Book, { title: 'Emma', stock: 1 })
    await em('reporting').insert(Book, { title: 'reported' })
  })
  await using both = await createSandbox([orm, reporting])
  t.equal((await both.run(() => app.inject({ method: 'POST', url: '/' }))).statusCode, 200)
  t.strictSame([await both.em.count(Book), await both.ems.reporting!.count(Book), both.em === both.ems.default], [1, 1, true])
  await both.rollback()

  await using one = await createSandbox(orm)
  t.equal(await one.run(() => reporting.em.fork().count(Book)), 0, 'an EntityManager of no context is where it was')
  await one.run(() => runInContext({ orm: [orm, reporting] }, async () => {
    t.throws(() => em('reporting'), {
      code: 'FST_ORM_SANDBOX_DATABASE', message: /^runInContext\(\) uses the database "reporting", which its sandbox does not have: it has "default"\. Pass all databases that the test uses: /
    })
    // a sandbox of the other one, inside: both are at hand
    await using inner = await createSandbox(reporting)
    await inner.run(() => runInContext({ orm: [orm, reporting] }, async () => {
      await em().insert(Book, { title: 'outer' })
      await em('reporting').insert(Book, { title: 'inner' })
    }))
    t.equal(await inner.em.count(Book), 1)
    t.strictSame(await inner.run(() => orm.em.getConnection().execute('select title from book')), [{ title: 'outer' }])
  }))
  t.equal(await one.em.count(Book), 1)
  await one.rollback()

  const lost = await unconnected({ contextName: 'lost', clientUrl: `${kind === 'mariadb' ? 'mysql' : kind}://127.0.0.1:1/lost` })
  await t.rejects(createSandbox([orm, lost]))
  t.equal(taken(), 0, 'what had begun is rolled back')
})

t.test('allowSandboxes() says what it takes', async t => {
  for (const app of [undefined, {}, 'app']) {
    t.throws(() => allowSandboxes(app as any), { code: 'FST_ORM_BAD_OPTION', message: /^allowSandboxes\(\): the option "app" takes a Fastify instance, got / })
  }
})
