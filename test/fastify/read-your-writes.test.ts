import type { FastifyReply, FastifyRequest, FastifyServerOptions } from 'fastify'
import type { Test } from 'tap'
import { afterCommit, commit, em, runInContext, type ContextOrmOptions } from '../../index.ts'
import { PositionTokens } from '../../lib/databases/position-tokens.ts'
import { replication } from '../../lib/drivers/postgresql/replication.ts'
import { Book, onEachDatabase, onEachPool, onMariadb, onPostgres, onSqlite, type Orm, type TestDatabase } from '../support/databases.ts'
import { withReplica } from '../support/replica-without-tables.ts'
import { startServer, type Server } from '../support/server.ts'

const SECRET = 'of the test'

type Replicas = NonNullable<ContextOrmOptions['replicas']>

async function start (t: Test, orm: Orm | Orm[], replicas: Partial<Replicas> = {}, server: FastifyServerOptions = {}): Promise<Server> {
  return await startServer(t, { orm, server, replicas: { readYourWrites: 'header', secret: SECRET, ...replicas } }, app => {
    app.post('/', async () => em().create(Book, { title: 'Emma' }))
    app.post('/fails', async (_request, reply) => {
      em().create(Book, { title: 'Emma' })
      await commit()
      return await reply.code(409).send('no')
    })
    app.post('/throws', async () => {
      em().create(Book, { title: 'Emma' })
      await commit()
      throw new Error('no')
    })
    app.post('/by-hand', async () => {
      em().create(Book, { title: 'Emma' })
      return await commit()
    })
    app.post('/branch', async () => await runInContext(() => em().insert(Book, { title: 'Emma' })))
    app.post('/hook', async () => {
      afterCommit(() => runInContext(() => em().insert(Book, { title: 'Emma' })))
      return await em().count(Book)
    })
    app.post('/without-transaction', { config: { orm: { transaction: false } } }, async () => {
      em().create(Book, { title: 'Emma' })
      await em().flush()
      return 'ok'
    })
    app.post('/not-flushed', async (_request, reply) => {
      em().create(Book, { title: 'Emma' })
      return await reply.code(400).send('no')
    })
    app.get('/', async () => await em().count(Book))
    app.get('/nothing', async () => 'nothing')
  })
}

const clear = async ({ orm }: TestDatabase): Promise<unknown> => await orm.em.fork().nativeDelete(Book, {})

onEachPool('a reply to what was committed has a token, however that was, and no other reply has', async (t, database) => {
  const server = await start(t, database.orm)
  for (const path of ['/', '/by-hand', '/branch', '/hook', '/without-transaction', '/fails', '/throws']) {
    const response = await server.post(path)
    await response.text()
    t.match(response.headers.get('orm-position'), /^\w+~default~[\w.?-]+~[\w-]{22}$/, path)
    await clear(database)
  }
  for (const path of ['/not-flushed']) t.equal((await server.post(path)).headers.get('orm-position'), null, path)
  for (const path of ['/', '/nothing']) t.equal((await server.get(path)).headers.get('orm-position'), null, path)
})

onEachPool('its position comes with the answer to the commit', async (t, { orm, sent, kind }) => {
  const server = await start(t, orm)
  await (await server.post('/')).text()
  await clear({ orm } as TestDatabase)
  sent.length = 0
  const response = await server.post('/')
  t.match(response.headers.get('orm-position'), kind === 'mariadb' ? /~(?:\d+-\d+-\d+|\?)~/ : /~[0-9a-f]+\.[0-9a-f]+\.[0-9a-f]+~/)
  t.equal(sent.length, 3, sent.join('; '))
})

onEachDatabase('without the option, nothing is asked for, and commit() gives nothing', async (t, { orm, sent }) => {
  const { post } = await startServer(t, { orm }, app => {
    app.post('/', async () => {
      em().create(Book, { title: 'Emma' })
      return { token: await commit() ?? 'none' }
    })
  })
  const response = await post('/')
  t.strictSame(await response.json(), { token: 'none' })
  t.notOk(sent.some(sql => /lsn|gtid|track/.test(sql)))
})

onSqlite('an engine of which no positions are known has tokens that lead to the primary', async (t, { orm }) => {
  const server = await start(t, orm)
  t.match((await server.post('/')).headers.get('orm-position'), /~default~\?~/)
})

onSqlite('a cookie goes beside those of the app, and a later one takes its place', async (t, { orm }) => {
  const server = await startServer(t, { orm, replicas: { readYourWrites: 'cookie', secret: [SECRET, 'old'], maxAge: 5500 } }, app => {
    app.post('/', async (_request, reply) => {
      reply.header('set-cookie', 'session=1')
      em().create(Book, { title: 'Emma' })
      await commit()
      em().create(Book, { title: 'Persuasion' })
      return 'ok'
    })
  })
  const cookies = (await server.post('/')).headers.getSetCookie()
  t.equal(cookies.length, 2)
  t.match(cookies, ['session=1', /^orm-position=[^;]+; Max-Age=6; Path=\/; HttpOnly; SameSite=Lax$/])
})

onSqlite('over https, the cookie is kept from plain http', async (t, { orm }) => {
  const { app } = await start(t, orm, { readYourWrites: 'cookie' }, { trustProxy: true })
  const { headers } = await fetch(`${app.listeningOrigin}/`, { method: 'POST', headers: { 'x-forwarded-proto': 'https' } })
  t.match(headers.getSetCookie(), [/; SameSite=Lax; Secure$/])
})

onSqlite('a transport of the app is called, and what fails in it is in the log', async (t, { orm }) => {
  const tokens: string[] = []
  let set = (_reply: FastifyReply, token: string): unknown => tokens.push(token)
  const server = await start(t, orm, { readYourWrites: { get: (_request: FastifyRequest) => tokens.at(-1), set: (reply, token) => set(reply, token) } })
  t.equal((await server.post('/')).status, 200)
  t.equal(tokens.length, 1)
  for (const failing of [() => { throw new Error('no') }, async () => { throw new Error('no') }]) {
    set = failing
    await orm.em.fork().nativeDelete(Book, {})
    t.equal((await server.post('/')).status, 200)
  }
  t.equal(server.log.filter(({ msg }) => /^POST \/: the token of what it has committed could not be set/.test(msg)).length, 2)
})

onEachPool('a token that is forged, too old or of other servers is ignored', async (t, database) => {
  const server = await start(t, await withReplica(database))
  const read = async (token?: string): Promise<number> => (await fetch(`${server.app.listeningOrigin}/`, { headers: token === undefined ? {} : { 'orm-position': token } })).status
  t.equal(await read(), 500, 'without one, from the replica')
  for (const token of ['', 'x', 'x~default~?~AAAAAAAAAAAAAAAAAAAAAA']) t.equal(await read(token), 500, token)
  const { app } = await start(t, database.orm, { secret: 'another' })
  const foreign = await fetch(`${app.listeningOrigin}/`, { method: 'POST' })
  t.equal(await read(foreign.headers.get('orm-position')!), 500, 'of another secret')
})

onEachPool('a token leads to a replica that has reached it, and one of an unknown position to one that is where the primary is', async (t, database) => {
  const orm = await withReplica(database)
  const { app } = await start(t, orm, { wait: 10_000 })
  const tokenOf = async (path: string): Promise<string> => {
    const response = await fetch(app.listeningOrigin + path, { method: 'POST' })
    await clear(database)
    return response.headers.get('orm-position')!
  }
  const read = async (after: string): Promise<string> => await runInContext({ orm, after }, async () => await em().count(Book)).then(String, error => error.message)
  if (database.kind === 'postgresql') {
    t.match(await read(await tokenOf('/')), /exist/, 'the replica')
    t.match(await read(await tokenOf('/without-transaction')), /exist/, 'the replica, which is where the primary is by now')
  }
  if (database.kind === 'mariadb') t.equal(await read(await tokenOf('/without-transaction')), '0', 'the primary: one that is no replica applies nothing')
  t.match(await read('x'), /exist/, 'nothing is asked for')
  const after = await tokenOf('/')
  t.equal(await runInContext({ orm, after, transaction: false }, async () => await em().count(Book)), 0, 'what MikroORM runs by itself cannot wait')
})

onEachPool('a token of what the primary has lost asks for nothing, and without a wait for the primary', async (t, database) => {
  const positionOf = async (): Promise<string> => {
    if (database.kind === 'mariadb') return '0-1-999999999'
    const { post } = await start(t, database.orm)
    return (await post('/')).headers.get('orm-position')!.split('~')[2]!.replace(/\w+$/, 'f'.repeat(16))
  }
  const settings = { readYourWrites: 'header', secrets: [SECRET], wait: 0, maxAge: 60_000 } as const
  const after = new PositionTokens(settings).make(new Map([['default', await positionOf()]]))!
  await clear(database)
  for (const wait of [10_000, 0]) {
    const orm = await withReplica(database)
    await start(t, orm, { wait })
    const read = runInContext({ orm, after }, async () => await em().count(Book))
    if (wait === 0) t.equal(await read, 0)
    else await t.rejects(read, /exist/)
  }
})

onMariadb('where nobody can read the answer to a commit, the commit stands, and its token says that its position is unknown', async (t, { orm, titles }) => {
  Object.assign(orm.em.getConnection(), { getNativeClient: () => Promise.reject(new Error('another driver')) })
  const { post } = await start(t, orm)
  t.match((await post('/')).headers.get('orm-position'), /~default~\?~/)
  t.strictSame(await titles(), ['Emma'])
})

onPostgres('if the position cannot be had, the commit stands, and its token says that nobody knows it', async (t, { orm, titles }) => {
  const server = await start(t, orm)
  const { afterCommit } = replication
  t.teardown(() => Object.assign(replication, { afterCommit }))
  Object.assign(replication, { afterCommit: 'select 1 / 0' })
  const response = await server.post('/')
  t.equal(response.status, 200)
  t.match(response.headers.get('orm-position'), /~default~\?~/)
  t.strictSame(await titles(), ['Emma'])
  t.equal((await server.post('/')).status, 409, 'and the connection is well')
})

onPostgres('a commit that a deferred constraint refuses has no token', async (t, { orm, titles }) => {
  await orm.em.fork().execute('alter table book drop constraint book_title_unique; alter table book add constraint title unique (title) deferrable initially deferred')
  const server = await start(t, orm)
  t.equal((await server.post('/')).status, 200)
  const refused = await server.post('/')
  t.equal(refused.status, 409)
  t.equal(refused.headers.get('orm-position'), null)
  t.strictSame(await titles(), ['Emma'])
})
