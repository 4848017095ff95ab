import type { EntityManager } from '@mikro-orm/core'
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { allowSandboxes, createSandbox } from 'fastify-context-orm/testing'
import { withoutPostgres } from '../../test/support/without-servers.ts'
import { createDatabase } from '../support/postgres-database.ts'
import { buildApp } from './app.ts'
import { openDatabase, type DatabaseOptions } from './database.ts'
import { Author, Book } from './entities.ts'

interface Reply {
  status: number
  body: any
}

/** As its clients see it. */
interface Shop {
  get (path: string): Promise<Reply>
  post (path: string, body?: object): Promise<Reply>
  patch (path: string, body: object): Promise<Reply>
  /** What is there by now, as somebody else than the app sees it. */
  shelves (): Promise<{ titles: string[], authors: string[] }>
}

/** With a database of its own, where commits are real. */
interface OwnShop extends Shop {
  /** Closes the shop, and opens another one on the same database. */
  reopen (): Promise<OwnShop>
  execute (sql: string): Promise<any>
  log: string[]
}

/** So many tests run at the same time on PostgreSQL, on a connection each: not more than are in its pool. */
const AT_ONCE = 5

type Run = (t: Test, shop: Shop) => Promise<void>

const sandboxed: { name: string, run: Run }[] = []

/** A test that runs in a sandbox, in a shop that all such tests share: see `runInSandboxes()`. */
function inSandbox (name: string, run: Run): void {
  sandboxed.push({ name, run })
}

/** What a sandbox cannot show has a database of its own. */
function onItsOwn (name: string, run: (t: Test, shop: OwnShop) => Promise<void>): void {
  t.test(`${name} (SQLite)`, async t => {
    await run(t, await openOwnShop(t, { file: join(t.testdir({}), 'bookshop.sqlite') }))
  })

  t.test(`${name} (PostgreSQL)`, { skip: withoutPostgres }, async t => {
    const { url } = await createDatabase(t)
    await run(t, await openOwnShop(t, { url, file: 'unused' }))
  })
}

async function openOwnShop (t: Test, database: DatabaseOptions): Promise<OwnShop> {
  const { app, url, log } = await openApp(t, database)
  const observer = await openDatabase(database)
  t.teardown(() => observer.close())
  return {
    ...clientOf(url),
    shelves: () => shelvesOf(observer.em.fork()),
    async reopen () {
      await app.close()
      return await openOwnShop(t, database)
    },
    execute: sql => observer.em.getConnection().execute(sql),
    log
  }
}

async function openApp (t: Test, database: DatabaseOptions): Promise<{ app: FastifyInstance, url: string, log: string[] }> {
  const log: string[] = []
  const app = buildApp({ database, logger: { level: 'error', stream: { write: (line: string) => { log.push(line) } } } })
  t.teardown(() => app.close())
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  return { app, url, log }
}

function clientOf (url: string, headers?: Record<string, string>): Pick<Shop, 'get' | 'post' | 'patch'> {
  async function ask (method: string, path: string, body?: object): Promise<Reply> {
    const type = body && { 'content-type': 'application/json' }
    const response = await fetch(url + path, { method, headers: { ...headers, ...type }, body: JSON.stringify(body) })
    return { status: response.status, body: await response.json() }
  }

  return {
    get: path => ask('GET', path),
    post: (path, body) => ask('POST', path, body),
    patch: (path, body) => ask('PATCH', path, body)
  }
}

async function shelvesOf (em: EntityManager): Promise<{ titles: string[], authors: string[] }> {
  const books = await em.find(Book, {}, { orderBy: { title: 'asc' } })
  const authors = await em.find(Author, {}, { orderBy: { name: 'asc' } })
  return { titles: books.map(book => book.title), authors: authors.map(author => author.name) }
}

/** Asks that many times at once, over sockets that are open already: so the requests really meet. */
async function atOnce (times: number, shop: Shop, ask: (i: number) => Promise<Reply>): Promise<Reply[]> {
  const indexes = Array.from({ length: times }, (_, i) => i)
  await Promise.all(indexes.map(() => shop.get('/books')))
  return await Promise.all(indexes.map(ask))
}

const titles = ({ body }: Reply): string[] => body.items.map((book: { title: string }) => book.title)

// closes the app, and the second one has a connection of its own
onItsOwn('an empty shop is filled once, and stays as it was left', async (t, shop) => {
  await shop.execute('create table guests (name varchar(20))')
  t.match((await shop.get('/books?title=frankenstein')).body, {
    total: 1, items: [{ title: 'Frankenstein', stock: 5, author: { name: 'Mary Shelley' } }]
  })
  const { body: { id } } = await shop.post('/books', { title: 'Mathilda', author: 'Mary Shelley', stock: 1 })
  const before = await shop.shelves()
  t.ok(before.titles.includes('Mathilda'))

  const reopened = await shop.reopen()
  t.strictSame(await reopened.shelves(), before)
  t.match(await reopened.get(`/books/${id}`), { status: 200, body: { title: 'Mathilda', stock: 1 } })
  t.strictSame(await reopened.execute('select * from guests'), [], 'a table of somebody else is left alone')
})

inSandbox('a book is created, with its author if need be', async (t, shop) => {
  const created = await shop.post('/books', { title: 'Middlemarch', author: 'George Eliot', stock: 2 })
  t.match(created, { status: 201, body: { id: Number, title: 'Middlemarch', stock: 2, author: { id: Number, name: 'George Eliot' } } })
  t.strictSame(await shop.get(`/books/${created.body.id}`), { ...created, status: 200 })

  const second = await shop.post('/books', { title: 'Romola', author: 'George Eliot' })
  t.match(second, { status: 201, body: { stock: 0 } })
  t.strictSame(second.body.author, created.body.author)
})

// requests of one sandbox write one after the other, and so it cannot tell what becomes of those that meet
onItsOwn('books of one new author, created in parallel, share that author', async (t, shop) => {
  const replies = await atOnce(12, shop, i => shop.post('/books', { title: `Barsetshire ${i}`, author: 'Anthony Trollope' }))
  t.strictSame(new Set(replies.map(reply => reply.status)), new Set([201]))
  t.equal(new Set(replies.map(reply => reply.body.author.id)).size, 1)
})

inSandbox('books are listed by title, filtered and in pages', async (t, shop) => {
  const author = 'Walter 100% Scott'
  for (const title of ['Waverley', 'Ivanhoe', 'Rob_Roy', 'Kenilworth']) await shop.post('/books', { title, author })

  const all = await shop.get('/books')
  t.strictSame(titles(all), (await shop.shelves()).titles)
  t.equal(all.body.total, titles(all).length)

  const his = '/books?author=scott'
  t.strictSame(titles(await shop.get(his)), ['Ivanhoe', 'Kenilworth', 'Rob_Roy', 'Waverley'])
  const page = await shop.get(`${his}&limit=2&offset=1`)
  t.strictSame(titles(page), ['Kenilworth', 'Rob_Roy'])
  t.equal(page.body.total, 4)
  t.strictSame(titles(await shop.get(`${his}&offset=4`)), [])

  t.strictSame(titles(await shop.get('/books?title=WAV')), ['Waverley'])
  t.strictSame(titles(await shop.get(`${his}&title=o`)), ['Ivanhoe', 'Kenilworth', 'Rob_Roy'])
  t.strictSame(titles(await shop.get('/books?title=_')), ['Rob_Roy'], 'wildcards stand for themselves')
  t.strictSame(titles(await shop.get('/books?title=o&author=100%25')), ['Ivanhoe', 'Kenilworth', 'Rob_Roy'])
  t.strictSame(titles(await shop.get('/books?title=!')), [])
  t.strictSame(titles(await shop.get("/books?title='")), [])
})

inSandbox('authors are created and listed', async (t, shop) => {
  const before = (await shop.get('/authors')).body.total
  const created = await shop.post('/authors', { name: 'Anne Brontë' })
  t.match(created, { status: 201, body: { id: Number, name: 'Anne Brontë' } })
  t.strictSame(await shop.get(`/authors/${created.body.id}`), { ...created, status: 200 })
  const { body: { total, items } } = await shop.get('/authors')
  t.equal(total, before + 1)
  t.strictSame(items.map((author: { name: string }) => author.name), (await shop.shelves()).authors)
  t.match(await shop.get('/authors?limit=1'), { status: 200, body: { total, items: [created.body] } })

  t.match(await shop.post('/authors', { name: 'Anne Brontë' }), { status: 409, body: { code: 'BOOKSHOP_DUPLICATE' } })
  t.equal((await shop.get('/authors')).body.total, before + 1)
})

inSandbox('what does not fit the schemas is a 400 and writes nothing', async (t, shop) => {
  const before = await shop.shelves()
  const author = 'Nobody'
  for (const book of [{}, { title: 'Untitled' }, { title: '', author }, { title: ' ', author }, { title: 'a\0b', author },
    { title: 'x'.repeat(201), author }, { title: 'Debt', author, stock: -1 }, { title: 'Half', author, stock: 1.5 },
    { title: 'Paper', author, stock: 2 ** 31 }]) {
    t.match(await shop.post('/books', book), { status: 400, body: { code: 'FST_ERR_VALIDATION' } }, JSON.stringify(book).slice(0, 60))
  }
  t.equal((await shop.post('/authors', { name: '' })).status, 400)
  t.equal((await shop.patch('/books/1', { title: '' })).status, 400)
  for (const path of ['/books/one', '/books/0', `/books/${2 ** 31}`, '/books?limit=0', '/books?limit=101', '/books?offset=-1',
    '/books?title=%00', '/authors?limit=many']) {
    t.equal((await shop.get(path)).status, 400, path)
  }
  t.strictSame(await shop.shelves(), before)
})

inSandbox('a title that is taken is a 409, and its new author is not written either', async (t, shop) => {
  const before = await shop.shelves()
  const reply = await shop.post('/books', { title: 'Emma', author: 'An Impostor' })
  t.match(reply, { status: 409, body: { code: 'BOOKSHOP_DUPLICATE', message: 'There is one of that name already' } })
  t.strictSame(await shop.shelves(), before)
})

inSandbox('a book is renamed', async (t, shop) => {
  const { body: book } = await shop.post('/books', { title: 'Elinor and Marianne', author: 'Jane Austen', stock: 3 })
  const title = 'Sense and Sensibility'
  t.strictSame(await shop.patch(`/books/${book.id}`, { title }), { status: 200, body: { ...book, title } })
  t.strictSame(await shop.get(`/books/${book.id}`), { status: 200, body: { ...book, title } })

  t.match(await shop.patch(`/books/${book.id}`, { title: 'Emma' }), { status: 409, body: { code: 'BOOKSHOP_DUPLICATE' } })
  t.equal((await shop.get(`/books/${book.id}`)).body.title, title)
})

inSandbox('a book is ordered until it is sold out', async (t, shop) => {
  const { body: { id } } = await shop.post('/books', { title: 'Vathek', author: 'William Beckford', stock: 2 })
  t.match(await shop.post(`/books/${id}/order`), { status: 200, body: { stock: 1 } })
  t.match(await shop.post(`/books/${id}/order`), { status: 200, body: { stock: 0, author: { name: 'William Beckford' } } })
  t.match(await shop.post(`/books/${id}/order`), { status: 409, body: { code: 'BOOKSHOP_SOLD_OUT', message: '"Vathek" is sold out' } })
  t.equal((await shop.get(`/books/${id}`)).body.stock, 0)
})

// as above
onItsOwn('of thirty orders at once for ten copies, ten succeed', async (t, shop) => {
  const { body: { id } } = await shop.post('/books', { title: 'The Monk', author: 'Matthew Lewis', stock: 10 })
  const orders = await atOnce(30, shop, () => shop.post(`/books/${id}/order`))
  const succeeded = orders.filter(order => order.status === 200)
  t.equal(succeeded.length, 10)
  t.equal(orders.filter(order => order.status === 409).length, 20)
  t.strictSame(succeeded.map(order => order.body.stock).sort((a, b) => a - b), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
  t.equal((await shop.get(`/books/${id}`)).body.stock, 0)
})

inSandbox('what is not there is a 404', async (t, shop) => {
  const missing = { status: 404, body: { code: 'BOOKSHOP_NOT_FOUND', message: 'There is no book 999' } }
  t.match(await shop.get('/books/999'), missing)
  t.match(await shop.patch('/books/999', { title: 'Nothing' }), missing)
  t.match(await shop.post('/books/999/order'), missing)
  t.match(await shop.get('/authors/999'), { status: 404, body: { message: 'There is no author 999' } })
  t.equal((await shop.get('/magazines')).status, 404)
})

// who drops a table waits for all sandboxes in which it is used, and they for him
onItsOwn('a failure of the database is a 500 that gives nothing away but to the log', async (t, shop) => {
  await shop.execute('drop table book')
  const { status, body } = await shop.get('/books/1')
  t.equal(status, 500)
  t.strictSame(body, { statusCode: 500, error: 'Internal Server Error', message: 'Something went wrong' })
  t.equal(shop.log.length, 1)
  t.match(shop.log[0], /TableNotFoundException/)
})

t.test('in a sandbox each, one after the other (SQLite)', async t => {
  runInSandboxes(t, await openApp(t, { file: join(t.testdir({}), 'bookshop.sqlite') }))
})

t.test('in a sandbox each, in parallel (PostgreSQL)', { jobs: AT_ONCE, skip: withoutPostgres }, async t => {
  const { url } = await createDatabase(t)
  runInSandboxes(t, await openApp(t, { url, file: 'unused' }))
})

function runInSandboxes (t: Test, { app, url }: { app: FastifyInstance, url: string }): void {
  allowSandboxes(app)
  for (const { name, run } of sandboxed) {
    t.test(name, async t => {
      await using sandbox = await createSandbox(app.orm)
      await run(t, { ...clientOf(url, sandbox.headers), shelves: () => shelvesOf(sandbox.em) })
    })
  }
}

t.test('the server prints its address and that of the inspector, answers, and closes on SIGTERM', async t => {
  const env = { PORT: '0', DATABASE_FILE: join(t.testdir({}), 'bookshop.sqlite') }
  const server = startServer(t, env)
  const lines = createInterface(server.stdout!)[Symbol.asyncIterator]()
  const url = /http:\S+/.exec((await lines.next()).value!)?.[0]
  const inspector = /http:\S+/.exec((await lines.next()).value!)?.[0]
  const response = await fetch(url!)
  t.equal(response.status, 200)
  t.match(titles({ status: 200, body: await response.json() }), ['Around the World in Eighty Days'])
  t.match(await (await fetch(`${inspector}/contexts`)).json(), [{ method: 'GET', route: '/books', outcome: 'committed' }])
  t.match(await (await fetch(inspector!)).text(), '<base href="/_orm/">')

  const port = new URL(url!).port
  const second = startServer(t, { ...env, PORT: port })
  t.strictSame(await ended(second), [1, `Port ${port} is taken. Choose another one: PORT=${Number(port) + 1} npm start\n`])

  server.kill('SIGTERM')
  t.strictSame(await ended(server), [0, ''])
})

t.test('the server says why it cannot open', async t => {
  const server = startServer(t, { DATABASE_URL: 'postgresql://127.0.0.1:1/bookshop' })
  t.strictSame(await ended(server), [1, 'The bookshop cannot open: connect ECONNREFUSED 127.0.0.1:1\n'])
})

function startServer (t: Test, env: Record<string, string>): ChildProcess {
  const { DATABASE_URL, DATABASE_FILE, PORT, ...inherited } = process.env
  const server = spawn(process.execPath, [join(import.meta.dirname, 'server.ts')], { env: { ...inherited, ...env } })
  t.teardown(() => server.kill('SIGKILL'))
  return server
}

/** The exit code, and what was printed as an error. */
async function ended (server: ChildProcess): Promise<[number, string]> {
  const [errors, [code]] = await Promise.all([server.stderr!.toArray(), once(server, 'close')])
  return [code, Buffer.concat(errors).toString()]
}
