import { TransactionPropagation } from '@mikro-orm/core'
import type { MikroORM, QueryResult, SqlEntityManager } from '@mikro-orm/postgresql'
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import type { FastifyInstance } from 'fastify'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import t, { type Test } from 'tap'
import { commit, em, rollback, runInContext } from 'fastify-context-orm'
import { createDatabase } from '../support/postgres-database.ts'
import { buildApp } from './app.ts'
import { Note } from './entities.ts'
import { runAs } from './session-context.ts'

const TOKENS = new Map([['r', 'red'], ['b', 'blue']])

interface Reply {
  status: number
  body: any
}

type Ask = (path: string, method?: string, body?: object) => Promise<Reply>

interface Notes {
  red: Ask
  blue: Ask
  nobody: Ask
  url: string
  /** Of the app, on its pool. */
  orm: MikroORM
  /** As a superuser, who sees everything. */
  query (sql: string): Promise<any[]>
}

function onNotes (name: string, run: (t: Test, notes: Notes) => Promise<void>, routes: (app: FastifyInstance) => void = () => {}, connections = 2): void {
  t.test(name, async t => {
    const { url, query } = await createDatabase(t)
    // fewer connections than requests: each serves both tenants in turn
    const app = buildApp({ database: { url, connections }, tokens: TOKENS })
    app.register(async app => { routes(app) })
    t.teardown(() => app.close())
    const address = await app.listen({ host: '127.0.0.1', port: 0 })
    const as = (token?: string): Ask => async (path, method = 'GET', body) => {
      const headers = { ...(token && { authorization: `Bearer ${token}` }), ...(body && { 'content-type': 'application/json' }) }
      const response = await fetch(address + path, { method, headers, body: JSON.stringify(body) })
      const text = await response.text()
      return { status: response.status, body: text === '' ? undefined : JSON.parse(text) }
    }
    await run(t, { red: as('r'), blue: as('b'), nobody: as(), url, orm: app.orm as unknown as MikroORM, query })
    t.strictSame(await query("select from pg_stat_activity where datname = current_database() and state like 'idle in%'"), [])
  })
}

const sql = (): SqlEntityManager => em() as SqlEntityManager
const post = (ask: Ask, body: string): Promise<Reply> => ask('/notes', 'POST', { body })
const bodies = ({ body }: Reply): string[] => body.map((note: { body: string }) => note.body)

onNotes('each tenant sees its own notes, however they are asked for', async (t, { red, blue }) => {
  t.strictSame(await post(red, 'red one'), { status: 201, body: { id: 1, body: 'red one' } })
  await post(red, 'red two')
  await post(blue, 'blue one')

  t.strictSame(bodies(await red('/notes')), ['red one', 'red two'])
  t.strictSame(bodies(await blue('/notes')), ['blue one'])
  t.strictSame(bodies(await red('/notes/search?text=ONE')), ['red one'], 'with a query builder')
  t.strictSame(bodies(await blue('/notes/search?text=one')), ['blue one'])
  t.strictSame((await red('/notes/count')).body, { notes: 2, characters: 14 }, 'with raw SQL')
  t.strictSame((await blue('/notes/count')).body, { notes: 1, characters: 8 })
  t.match(await red('/notes/1'), { status: 200, body: { body: 'red one' } })
  t.match(await blue('/notes/1'), { status: 404, body: { code: 'NOTES_NOT_FOUND', message: 'There is no note 1' } })
})

onNotes('whatever a request does with its EntityManager, it is that of its tenant', async (t, { red, blue }) => {
  await post(red, 'red')
  await post(blue, 'blue')
  for (const [ask, name] of [[red, 'red'], [blue, 'blue']] as const) {
    const { status, body } = await ask('/ways')
    t.equal(status, 200)
    for (const [way, seen] of Object.entries(body)) t.strictSame(seen, [name], way)
    t.equal(Object.keys(body).length, 8)
  }
}, app => {
  const seen = (notes: any[]): string[] => notes.map(note => note.body)
  app.get('/ways', async () => {
    const streamed: string[] = []
    for await (const note of em().stream(Note)) streamed.push(note.body)
    const parallel = await Promise.all([em().find(Note, {}), sql().execute('select body from note'), em().find(Note, {})])
    const forked = await em().fork().find(Note, {})
    const inner = await em().transactional(async em => seen(await em.find(Note, {}, { refresh: true })))
    const separate = await em().transactional(em => em.find(Note, {}), { propagation: TransactionPropagation.REQUIRES_NEW })
    const kysely = await sql().getKysely<{ note: { body: string } }>().selectFrom('note').select('body').execute()
    await commit()
    const committed = await sql().execute('select body from note')
    await rollback()
    const rolledBack = await em().find(Note, {})
    return {
      streamed,
      parallel: [...new Set(parallel.flatMap(seen))],
      forked: seen(forked),
      inner,
      separate: seen(separate),
      kysely: seen(kysely),
      committed: seen(committed),
      rolledBack: seen(rolledBack)
    }
  })
})

onNotes('work beside the requests, and in a context of its own inside one, is for the tenant that it names', async (t, { red, blue, orm, query }) => {
  await post(red, 'red')
  t.strictSame(bodies(await blue('/inside?for=blue')), [])
  t.strictSame(bodies(await blue('/inside?for=red')), ['red'])
  await runAs(orm, 'blue', async () => { em().create(Note, { body: 'at night' }) })
  t.strictSame(await query("select tenant from note where body = 'at night'"), [{ tenant: 'blue' }])
  t.strictSame(bodies(await blue('/notes')), ['at night'])
}, app => {
  app.get<{ Querystring: { for: string } }>('/inside', request => runAs(app.orm, request.query.for, () => em().find(Note, {})))
})

onNotes("no tenant changes or deletes another's notes", async (t, { red, blue, query }) => {
  await post(red, 'red')
  t.equal((await blue('/notes/1', 'PATCH', { body: 'blue was here' })).status, 404)
  t.equal((await blue('/notes/1', 'DELETE')).status, 404)
  t.strictSame((await blue('/all', 'DELETE')).body, { deleted: 0 })
  t.strictSame((await blue('/all', 'PATCH')).body, { changed: 0 })
  t.strictSame(await query('select tenant, body from note'), [{ tenant: 'red', body: 'red' }])

  t.match(await red('/notes/1', 'PATCH', { body: 'still red' }), { status: 200, body: { id: 1, body: 'still red' } })
  t.strictSame((await red('/all', 'PATCH')).body, { changed: 1 })
  t.equal((await red('/notes/1', 'DELETE')).status, 204)
  t.strictSame(await query('select from note'), [])
}, app => {
  app.delete('/all', async () => ({ deleted: await em().nativeDelete(Note, {}) }))
  app.patch('/all', async () => ({ changed: (await sql().execute<QueryResult>("update note set body = 'changed'", [], 'run')).affectedRows }))
})

onNotes('no tenant writes notes as another, and what it wrote besides is rolled back', async (t, { red, query }) => {
  await post(red, 'red')
  for (const path of ['/entity', '/query-builder', '/sql', '/give-away']) {
    t.match(await red(path, 'POST'), { status: path === '/query-builder' ? 500 : 403, body: { message: path === '/query-builder' ? 'Internal Server Error' : 'Forbidden' } }, path)
  }
  t.strictSame(await query('select tenant, body from note'), [{ tenant: 'red', body: 'red' }])
}, app => {
  const route = (path: string, forge: () => unknown): void => {
    app.post(path, async () => {
      await em().insert(Note, { body: 'besides' })
      await forge()
      return 'done'
    })
  }
  route('/entity', () => em().create(Note, { tenant: 'blue', body: 'forged' }))
  route('/query-builder', () => sql().createQueryBuilder(Note).insert({ tenant: 'blue', body: 'forged' }).execute())
  route('/sql', () => sql().execute("insert into note (tenant, body) values ('blue', 'forged')"))
  route('/give-away', () => em().nativeUpdate(Note, {}, { tenant: 'blue' }))
})

onNotes('a request without a tenant is refused, and sees nothing where it is let in', async (t, { red, nobody, query }) => {
  await post(red, 'red')
  for (const [path, method] of [['/notes', 'GET'], ['/notes/1', 'GET'], ['/notes/1', 'DELETE'], ['/notes/count', 'GET'], ['/nowhere', 'GET']] as const) {
    t.match(await nobody(path, method), { status: 401, body: { code: 'NOTES_UNAUTHORIZED' } }, `${method} ${path}`)
  }
  t.equal((await post(nobody, 'anonymous')).status, 401)
  t.strictSame(await nobody('/public'), { status: 200, body: { found: 0, selected: 0, deleted: 0 } })
  t.match(await nobody('/public', 'POST'), { status: 403, body: { message: 'Forbidden' } })
  t.strictSame(await query('select tenant, body from note'), [{ tenant: 'red', body: 'red' }])
}, app => {
  const config = { public: true }
  app.get('/public', { config }, async () => ({
    found: await em().count(Note),
    selected: (await sql().execute('select id from note')).length,
    deleted: await em().nativeDelete(Note, {})
  }))
  app.post('/public', { config }, async () => em().create(Note, { tenant: 'red', body: 'anonymous' }))
})

onNotes('many requests of two tenants at once, over two connections, never meet', async (t, { red, blue, query }) => {
  const ask = async (i: number): Promise<string | undefined> => {
    const [name, mine] = i % 2 === 0 ? ['red', red] as const : ['blue', blue] as const
    const created = await post(mine, `${name} ${i}`)
    const { id } = created.body
    const replies = await Promise.all([
      mine('/notes'), mine('/notes/search?text=e'), mine(`/notes/${id}`), mine('/notes/fail', 'POST'),
      mine(`/notes/${id}`, 'PATCH', { body: `${name} ${i} changed` })
    ])
    if (replies.map(({ status }) => status).join() !== '200,200,200,500,200') return JSON.stringify(replies)
    const [listed, found] = replies.map(({ body }) => body)
    const isMine = (note: { body: string }): boolean => note.body.startsWith(`${name} `)
    return listed.length > 0 && found.length > 0 && [...listed, ...found].every(isMine) ? undefined : JSON.stringify([listed, found])
  }
  const mistakes = await Promise.all(Array.from({ length: 60 }, (_, i) => ask(i)))
  t.strictSame(mistakes.filter(mistake => mistake !== undefined), [])
  t.strictSame(await query("select tenant, count(*)::int, bool_and(body like tenant || ' % changed') as own from note group by tenant order by tenant"), [
    { tenant: 'blue', count: 30, own: true }, { tenant: 'red', count: 30, own: true }
  ])
}, app => {
  app.post('/notes/fail', async () => {
    await em().insert(Note, { body: 'fails' })
    throw new Error('no')
  })
})

onNotes('a connection goes back to the pool without tenant and role', async (t, { red, blue, orm }) => {
  const login = new URL(process.env.TEST_DATABASE_URL!).username
  const look = "select current_user as role, nullif(current_setting('app.tenant', true), '') as tenant"
  const nobodys = { role: login, tenant: null }
  for (const ask of [red, blue]) {
    const tenant = ask === red ? 'red' : 'blue'
    t.strictSame((await ask('/whoami')).body, [{ role: 'notes_tenant', tenant }])
    t.match(await ask('/whoami?and=fail'), { status: 500 })
    t.strictSame(await orm.em.fork().execute(look), [nobodys])
  }
  t.strictSame(await runInContext({ orm }, () => sql().execute(look)), [nobodys])
}, app => {
  app.get('/whoami', async request => {
    const who = await sql().execute("select current_user as role, current_setting('app.tenant', true) as tenant")
    if (request.url.includes('fail')) await sql().execute('select 1 / 0')
    return who
  })
}, 1)

onNotes('the app can be opened again, and its policy stays', async (t, { red, url, query }) => {
  await post(red, 'red')
  const look = "select relrowsecurity, relforcerowsecurity, (select count(*)::int from pg_policies where tablename = 'note') as policies from pg_class where relname = 'note'"
  const before = await query(look)
  t.strictSame(before, [{ relrowsecurity: true, relforcerowsecurity: true, policies: 1 }])
  const second = buildApp({ database: { url }, tokens: TOKENS })
  t.teardown(() => second.close())
  t.strictSame((await second.inject({ url: '/notes', headers: { authorization: 'Bearer r' } })).json(), [{ id: 1, body: 'red' }])
  t.strictSame((await second.inject({ url: '/notes', headers: { authorization: 'Bearer b' } })).json(), [])
  t.strictSame(await query(look), before)
})

t.test('the server prints its address, answers, and closes on SIGTERM', async t => {
  const { url } = await createDatabase(t)
  const server = startServer(t, { DATABASE_URL: url, PORT: '0' })
  const [line] = await once(createInterface(server.stdout!), 'line')
  const address = /http:\S+/.exec(line)![0]
  t.equal((await fetch(address)).status, 401)
  t.strictSame(await (await fetch(address, { headers: { authorization: 'Bearer red-token' } })).json(), [])
  server.kill('SIGTERM')
  t.strictSame(await ended(server), [0, ''])
})

t.test('without a server, the notes are in the process', async t => {
  const app = buildApp({ database: {}, tokens: TOKENS })
  t.teardown(() => app.close())
  const ask = async (token: string, url: string, method: 'GET' | 'POST' = 'GET', payload?: object): Promise<{ status: number, body: any }> => {
    const response = await app.inject({ method, url, headers: { authorization: `Bearer ${token}` }, ...payload && { payload } })
    return { status: response.statusCode, body: response.json() }
  }
  t.strictSame(await ask('r', '/notes', 'POST', { body: 'red one' }), { status: 201, body: { id: 1, body: 'red one' } })
  t.strictSame(await ask('b', '/notes', 'POST', { body: 'blue one' }), { status: 201, body: { id: 2, body: 'blue one' } })
  t.strictSame(bodies(await ask('r', '/notes')), ['red one'])
  t.strictSame(bodies(await ask('b', '/notes')), ['blue one'])
  t.equal((await ask('b', '/notes/1')).status, 404)
})

t.test('the server says why it cannot start', async t => {
  t.strictSame(await ended(startServer(t, { DATABASE_URL: 'postgresql://127.0.0.1:1/notes' })), [
    1, 'The server cannot start: connect ECONNREFUSED 127.0.0.1:1\n'
  ])
})

function startServer (t: Test, env: Record<string, string>): ChildProcess {
  const { DATABASE_URL, PORT, ...inherited } = process.env
  const server = spawn(process.execPath, [join(import.meta.dirname, 'server.ts')], { env: { ...inherited, ...env } })
  t.teardown(() => server.kill('SIGKILL'))
  return server
}

/** The exit code, and what was printed as an error. */
async function ended (server: ChildProcess): Promise<[number, string]> {
  const [errors, [code]] = await Promise.all([server.stderr!.toArray(), once(server, 'close')])
  return [code, Buffer.concat(errors).toString()]
}
