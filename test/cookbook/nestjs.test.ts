import { MikroORM } from '@mikro-orm/core'
import { EventEmitter, once } from 'node:events'
import { bookOptions, Book } from '../../examples/cookbook/books.ts'
import { em, runInContext } from '../../index.ts'
import { createSandbox } from '../../testing.ts'
import { clientAt, onEachShelf, type Client, type Shelf } from '../support/cookbook.ts'
import { compileDecorators } from '../support/compiled-decorators.ts'
import type { Test } from 'tap'

const folder = new URL('../../examples/cookbook/nestjs/', import.meta.url)
compileDecorators(folder)
// not by their names: they are checked with the tsconfig.json of their own
const load = async (file: string): Promise<any> => await import(new URL(file, folder).href)
const { buildApp } = await load('app.ts')

async function start (t: Test, { options }: Shelf, add: (app: any) => void = () => {}): Promise<{ app: any, client: Client }> {
  const app = await buildApp(bookOptions(options))
  t.teardown(() => app.close())
  add(app)
  await app.listen(0, '127.0.0.1')
  return { app, client: clientAt(await app.getUrl()) }
}

onEachShelf('a controller replies with ids and defaults, committed', async (t, shelf) => {
  const { client } = await start(t, shelf)
  t.match(await client.post('/books', { title: 'Emma' }), { status: 201, body: { id: 1, title: 'Emma', stock: 3 } })
  t.strictSame(await shelf.titles(), ['Emma'])
  t.match(await client.get('/books'), { status: 200, body: [{ id: 1, title: 'Emma' }] })
})

onEachShelf('an interceptor that makes something else of an entity flushes for its id', async (t, shelf) => {
  const { client } = await start(t, shelf)
  t.match(await client.post('/books/envelope', { title: 'Emma' }), { status: 201, body: { id: 1, location: '/books/1' } })
  t.strictSame(await shelf.titles(), ['Emma'])
})

onEachShelf('a filter answers what the flush after the handler throws, and an HttpException takes back what was flushed', async (t, shelf) => {
  const { client } = await start(t, shelf)
  await client.post('/books', { title: 'Emma' })
  t.match(await client.post('/books', { title: 'Emma' }), { status: 409, body: { message: 'There is one already' } })
  t.match(await client.post('/books/envelope', { title: 'Emma' }), { status: 409, body: { message: 'There is one already' } })
  for (let i = 0; i < 3; i++) t.match(await client.post('/books/Emma/order'), { status: 201 })
  t.match(await client.post('/books/Emma/order'), { status: 409, body: { message: '"Emma" is sold out' } })
  t.match(await client.post('/books/Persuasion/order'), { status: 404, body: { message: 'Not Found' } })
  t.strictSame(await shelf.query('select title, stock from book'), [{ title: 'Emma', stock: 0 }])
})

onEachShelf('what is running when the app closes is committed before Nest closes the MikroORM', async (t, shelf) => {
  const { app, client } = await start(t, shelf)
  const running = new EventEmitter()
  const service = app.get((await load('books.service.ts')).BooksService)
  service.list = async () => {
    em().create(Book, { title: 'Emma' })
    await em().flush()
    running.emit('written')
    await once(running, 'go on')
    return []
  }
  const written = once(running, 'written')
  const listing = client.get('/books')
  await written
  const closing = app.close()
  setImmediate(() => running.emit('go on'))
  t.match(await listing, { status: 200 })
  await closing
  t.strictSame(await shelf.titles(), ['Emma'])
})

onEachShelf('guards run in the context of the request, and middleware of Nest comes before it', async (t, shelf) => {
  const errors: string[] = []
  const { client } = await start(t, shelf, app => {
    app.use((_req: unknown, _res: unknown, next: () => void) => {
      try {
        em()
      } catch (error: any) {
        errors.push(error.code)
      }
      next()
    })
    app.useGlobalGuards({ canActivate: async () => await em().count(Book) === 0 })
  })
  t.match(await client.post('/books', { title: 'Emma' }), { status: 201 })
  t.match(await client.post('/books', { title: 'Persuasion' }), { status: 403 })
  t.strictSame(errors, ['FST_ORM_NO_CONTEXT', 'FST_ORM_NO_CONTEXT'])
  t.strictSame(await shelf.titles(), ['Emma'])
})

onEachShelf('requests and jobs are rolled back with their sandbox, and use what is injected', async (t, { options, titles }) => {
  const app = await buildApp(bookOptions(options))
  t.teardown(() => app.close())
  await app.init()
  const orm: any = app.get(MikroORM)
  const service = app.get((await load('books.service.ts')).BooksService)
  const sandbox = await createSandbox(orm)
  await sandbox.run(async () => {
    t.match(await app.inject({ method: 'POST', url: '/books', payload: { title: 'Emma' } }), { statusCode: 201 })
    await runInContext({ orm }, () => service.add('Persuasion'))
    t.strictSame((await app.inject('/books')).json().map(({ title }: { title: string }) => title), ['Emma', 'Persuasion'])
  })
  await sandbox.rollback()
  t.strictSame(await titles(), [])
})
