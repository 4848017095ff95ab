import fp from 'fastify-plugin'
import Fastify from 'fastify'
import { buildApp } from '../../examples/cookbook/plugin-order/app.ts'
import { AuditLine, auth, User } from '../../examples/cookbook/plugin-order/neighbours.ts'
import { Author, Book } from '../../examples/cookbook/books.ts'
import contextOrm from '../../index.ts'
import { clientOf, onEachShelf } from '../support/cookbook.ts'
import { until } from '../support/until.ts'

const entities = { entities: [Author, Book, User, AuditLine] }
const jane = { authorization: 'Jane' }
const JANE = "insert into \"user\" (token) values ('Jane')"

onEachShelf('neighbours do what they are for, in this order', async (t, { open, titles, query, sent }) => {
  const { get, post } = await clientOf(t, buildApp({ orm: open }))
  await query(JANE)
  const lines = async (): Promise<string[]> => (await query('select what from audit_line order by id')).map(({ what }) => what)

  sent.length = 0
  t.match(await get('/books', { 'x-maintenance': '1' }), { status: 503, body: { message: 'Back soon' } })
  t.notMatch(sent.join('\n'), /from .user/, 'nobody has asked the database')
  await until(async () => (await lines()).length === 1)
  t.match(await post('/books', { title: 'Emma' }), { status: 401 })
  await until(async () => (await lines()).length === 2)

  t.match(await post('/books', { title: 'Emma' }, jane), { status: 200, body: { id: 1, title: 'Emma' } })
  t.ok((await lines()).includes('POST /books'), 'when the reply is there')
  await until(async () => (await lines()).length === 4)
  t.match(await post('/books', { title: 'Emma' }, jane), { status: 409 })
  await until(async () => (await lines()).length === 5)
  t.strictSame(await lines(), ['GET /books 503', 'POST /books 401', 'POST /books', 'POST /books 200', 'POST /books 409'])
  t.strictSame(await titles(), ['Emma'])

  const { headers } = await get('/books', { ...jane, 'accept-encoding': 'gzip' })
  t.equal(headers.get('content-encoding'), 'gzip')
  t.match(await get('/books', { ...jane, 'if-none-match': headers.get('etag')! }), { status: 304 })
}, entities)

onEachShelf('a hook after the others that throws takes back what the request has written', async (t, { open, titles, query }) => {
  const app = buildApp({ orm: open })
  app.register(fp(async app => {
    app.addHook('onSend', async ({ headers }) => {
      if (headers['x-fail'] !== undefined) throw new Error('no')
    })
  }))
  const { post } = await clientOf(t, app)
  await query(JANE)
  t.match(await post('/books', { title: 'Emma' }, { ...jane, 'x-fail': '1' }), { status: 500, body: { message: 'no' } })
  t.strictSame(await titles(), [])
  await until(async () => (await query('select what from audit_line')).length === 1)
  t.strictSame(await query('select what from audit_line'), [{ what: 'POST /books 500' }])
}, entities)

onEachShelf('what uses em() before this plugin is told so', async (t, { open }) => {
  const log: any[] = []
  const app = Fastify({ logger: { level: 'error', stream: { write: line => { log.push(JSON.parse(line)) } } } })
  app.register(auth)
  app.register(contextOrm, { orm: open })
  app.get('/', async () => 'never')
  const { get } = await clientOf(t, app as any)
  t.match(await get('/'), { status: 500, body: { code: 'FST_ORM_NO_CONTEXT' } })
  t.match(log, [{ err: { code: 'FST_ORM_NO_CONTEXT' } }])
}, entities)
