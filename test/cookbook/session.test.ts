import { buildApp } from '../../examples/cookbook/session/app.ts'
import { StoredSession } from '../../examples/cookbook/session/store.ts'
import { Author, Book } from '../../examples/cookbook/books.ts'
import { em } from '../../index.ts'
import { clientOf, onEachShelf, type Client, type Reply } from '../support/cookbook.ts'

const secret = 'a secret that has at least 32 characters'
const entities = { entities: [Author, Book, StoredSession] }

/** One that keeps its cookie. */
function browser ({ get, post }: Client): Pick<Client, 'get' | 'post'> {
  let cookie = ''
  const kept = (reply: Reply): Reply => {
    cookie = reply.headers.getSetCookie()[0]?.split(';')[0] ?? cookie
    return reply
  }
  return {
    get: async path => kept(await get(path, { cookie })),
    post: async (path, body) => kept(await post(path, body, { cookie }))
  }
}

onEachShelf('a session is committed with what its request wrote, or not at all', async (t, { open, titles, query }) => {
  const client = await clientOf(t, buildApp({ orm: open, secret }))
  const { get, post } = browser(client)
  t.match(await post('/books', { title: 'Emma' }), { status: 401 })
  t.strictSame(await query('select * from stored_session'), [], 'nothing is stored for who has no session')
  t.match(await post('/login', { name: 'Jane', password: 'secret' }), { status: 200, body: { name: 'Jane' } })
  t.equal((await query('select * from stored_session')).length, 1)
  t.match(await post('/books', { title: 'Emma' }), { status: 200, body: { id: 1 } })
  t.match(await get('/session'), { body: { user: 'Jane', added: 1 } })
  t.match(await post('/books', { title: 'Emma' }), { status: 409 })
  t.match(await get('/session'), { body: { user: 'Jane', added: 1 } }, 'as it was before what failed')
  t.match(await post('/books', { title: 'Persuasion' }), { status: 200 })
  t.match(await get('/session'), { body: { added: 2 } })
  t.strictSame(await titles(), ['Emma', 'Persuasion'])
  t.match(await browser(client).get('/session'), { body: { user: undefined } })
  t.match(await post('/logout'), { status: 204 })
  t.strictSame(await query('select * from stored_session'), [])
  t.match(await post('/books', { title: 'Mathilda' }), { status: 401 })
}, entities)

onEachShelf('a request that only reads its session neither writes nor begins', async (t, { open, sent }) => {
  const { get, post } = browser(await clientOf(t, buildApp({ orm: open, secret })))
  await post('/login', { name: 'Jane', password: 'secret' })
  sent.length = 0
  t.match(await get('/session'), { body: { user: 'Jane' } })
  t.equal(sent.length, 1)
  t.match(sent, [/select .* from ["`]stored_session/])
}, entities)

onEachShelf('attempts are kept with a 401, since they are committed before it', async (t, { open }) => {
  const { get, post } = browser(await clientOf(t, buildApp({ orm: open, secret })))
  for (let i = 1; i <= 3; i++) {
    t.match(await post('/login', { name: 'Jane', password: 'wrong' }), { status: 401, body: { code: 'UNAUTHORIZED' } })
    t.match(await get('/session'), { body: { attempts: i } })
  }
  t.match(await post('/login', { name: 'Jane', password: 'secret' }), { status: 429 })
  t.match(await get('/session'), { body: { attempts: 3 } }, 'what was not committed is not kept')
}, entities)

onEachShelf('a 401 by its status takes the session back, too', async (t, { open, query }) => {
  const app = buildApp({ orm: open, secret })
  app.register(async app => {
    app.get('/by-status', async ({ session }, reply) => {
      session.attempts = 7
      await em().insert(Book, { title: 'Emma' })
      return reply.code(401).send({})
    })
  })
  const { get, post } = browser(await clientOf(t, app))
  await post('/login', { name: 'Jane', password: 'secret' })
  t.match(await get('/by-status'), { status: 401 })
  t.match(await get('/session'), { body: { user: 'Jane', attempts: undefined } })
  t.strictSame(await query('select * from book'), [])
}, entities)

onEachShelf('a session that changes in a request that throws is refused, and says so in the log', async (t, { open }) => {
  const log: string[] = []
  const app = buildApp({ orm: open, secret, logger: { level: 'warn', stream: { write: (line: string) => { log.push(JSON.parse(line)) } } } as any })
  app.register(async app => {
    app.get('/throws', async ({ session }) => {
      session.attempts = 7
      throw new Error('no')
    })
  })
  const { get, post } = browser(await clientOf(t, app))
  await post('/login', { name: 'Jane', password: 'secret' })
  t.match(await get('/throws'), { status: 500, body: { message: 'no' } })
  t.match(await get('/session'), { body: { user: 'Jane', attempts: undefined } })
  t.match(log.find((line: any) => line.err?.code === 'FST_ORM_CONTEXT_ENDED'), Object)
}, entities)
