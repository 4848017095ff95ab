import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { em, runInContext } from '../../index.ts'
import { Book, onEachDatabase } from '../support/databases.ts'
import { startServer } from '../support/server.ts'

const SECRETS = /book|title|insert|select|secret|constraint|relation|nowhere|no such|sqlite|postgres|"detail"/i

const sql = (text: string) => async () => (em() as any).execute(text)

/** Whatever names SQL, values, tables or constraints in its message. */
const FAILURES: Record<string, (request: any, reply: any) => Promise<unknown>> = {
  unique: async () => {
    await em().insert(Book, { title: 'secret' })
    await em().insert(Book, { title: 'secret' })
  },
  'unique-at-flush': async () => {
    em().create(Book, { title: 'secret' })
    return em().create(Book, { title: 'secret' })
  },
  'unique-at-string': async () => {
    em().create(Book, { title: 'secret' })
    em().create(Book, { title: 'secret' })
    return 'ok'
  },
  'not-found': () => em().findOneOrFail(Book, { title: 'secret' }),
  'not-null': sql('insert into book (title) values (null)'),
  syntax: sql("select 'secret' from nowhere"),
  kysely: () => (em() as any).getKysely().selectFrom('nowhere').select('secret').execute(),
  'kysely-column': () => (em() as any).getKysely().selectFrom('book').select('secret').execute(),
  connection: () => (em() as any).getConnection().execute('select secret from nowhere'),
  'connection-syntax': () => (em() as any).getConnection().execute('selekt secret'),
  'query-builder': () => (em() as any).createQueryBuilder(Book, 'b').where({ 'c.secret': 1 }).getResult(),
  'unknown-property': () => em().find(Book, { secret: 1 } as any),
  'unknown-order': () => em().find(Book, {}, { orderBy: { secret: 1 } as any }),
  'unknown-relation': () => em().find(Book, {}, { populate: ['secret'] as any }),
  'unknown-entity': async () => (em() as any).create('SecretBook', {}),
  required: async () => em().create(Book, {} as any),
  'wrong-type': async () => em().assign(em().create(Book, { title: 'x' }), { stock: { secret: 1 } as any }),
  'unknown-database': async () => (em as any)('secret'),
  'read-only': sql("update book set title = 'secret'"),
  ended: async () => {
    const late = await runInContext(() => em())
    await late.insert(Book, { title: 'secret' })
  },
  'passed-over': async () => {
    await em().insert(Book, { title: 'secret' })
    await em().insert(Book, { title: 'secret' }).catch(() => {})
    return 'ok'
  },
  'rethrown-by-savepoint': () => em().transactional(inner => (inner as any).execute("insert into book (title, stock) values ('secret', null)"))
}

type Declare = (app: FastifyInstance) => void

/** What apps do to all their replies. */
const HOOKS: Record<string, Declare> = {
  'a hook that adds to JSON': app => app.addHook('onSend', async (request, _reply, payload) => (
    typeof payload === 'string' && payload.startsWith('{') ? JSON.stringify({ ...JSON.parse(payload), requestId: request.id }) : payload
  )),
  'a hook that makes a Buffer': app => app.addHook('onSend', async (_request, _reply, payload) => typeof payload === 'string' ? Buffer.from(payload) : payload),
  'a hook that makes a stream': app => app.addHook('onSend', async (_request, _reply, payload) => new Blob([payload as string]).stream()),
  'an envelope': app => app.addHook('preSerialization', async (_request, _reply, payload) => ({ data: payload })),
  'an error handler that passes them on': app => app.setErrorHandler((error, _request, reply) => { reply.send(error) }),
  'an error handler that throws them': app => app.setErrorHandler(async error => { throw error }),
  'an error handler that asks Fastify': app => {
    const { errorHandler } = app
    app.setErrorHandler(function (error: any, request, reply) { errorHandler.call(this, error, request, reply) })
  }
}

const declareRoutes: Declare = app => {
  for (const [path, fail] of Object.entries(FAILURES)) {
    const config = { orm: { readOnly: path === 'read-only' } }
    app.get(`/${path}`, { config }, fail)
    app.get(`/with-schema/${path}`, {
      config,
      schema: { response: { '4xx': SCHEMA, '5xx': SCHEMA } }
    }, fail)
    app.get(`/in-a-hook/${path}`, { config, preHandler: async (request, reply) => { await fail(request, reply) } }, async () => 'ok')
  }
}

const SCHEMA = {
  type: 'object',
  properties: Object.fromEntries(['message', 'name', 'code', 'detail', 'query', 'sql', 'sqlMessage', 'table', 'stack'].map(name => [name, { type: 'string' }]))
}

const PLACES: Record<string, (declare: Declare) => [Declare, Declare]> = {
  'registered before the plugin': declare => [declareRoutes, declare],
  'registered after it': declare => [app => {
    app.register(fp(async app => { declare(app) }))
    app.register(async app => { declareRoutes(app) })
  }, () => {}]
}

for (const [name, declare] of Object.entries(HOOKS)) {
  onEachDatabase(`${name} shows nothing of the database`, async (t, { orm }) => {
    for (const [where, place] of Object.entries(PLACES)) {
      const { get, log } = await startServer(t, { orm }, ...place(declare))
      for (const path of Object.keys(FAILURES).flatMap(path => [path, `with-schema/${path}`, `in-a-hook/${path}`])) {
        log.length = 0
        const response = await get(`/${path}`)
        t.ok(response.status >= 400, path)
        t.notMatch(await response.text(), SECRETS, `${path}, ${where}`)
        if (response.status >= 500) t.ok(log.length > 0, `${path} is logged`)
      }
    }
  })
}
