import { spawn } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { EventSource } from 'eventsource'
import Fastify from 'fastify'
import t from 'tap'
import { WebSocket } from 'ws'
import contextOrm, { em, runInContext } from '../index.ts'
import { until } from './support/until.ts'

/** The TypeScript blocks of the README and of the docs are files that name themselves in their first line. */
const read = (path: string): Promise<string> => readFile(new URL(`../${path}`, import.meta.url), 'utf8')
const readme = await read('README.md')
const docs = await Promise.all((await readdir(new URL('../docs', import.meta.url))).map(file => read(`docs/${file}`)))
const pages = [readme, ...docs].join('\n')
const blocks = [...pages.matchAll(/^```ts\n(\/\/ (\S+)\n[^]*?)^```$/gm)].map(([, code, name]) => ({ code: code!, name: name! }))
const entry = new URL('../index.ts', import.meta.url).href
const testing = new URL('../testing.ts', import.meta.url).href

const folder = t.testdir({})
for (const { code, name } of blocks) {
  await writeFile(join(folder, name), code
    .replaceAll("'fastify-context-orm'", `'${entry}'`)
    .replaceAll("'fastify-context-orm/testing'", `'${testing}'`)
    .replaceAll("dbName: 'books.sqlite'", `dbName: '${join(folder, 'books.sqlite')}'`)
    .replaceAll('port: 3000', 'port: 0'))
}

async function load (name: string): Promise<any> {
  return await import(pathToFileURL(join(folder, name)).href)
}

t.test('every TypeScript block has a name, and is a file of its own', async t => {
  t.equal(blocks.length, pages.split('```ts').length - 1)
  t.equal(new Set(blocks.map(({ name }) => name)).size, blocks.length)
})

t.test('the quick start runs, and does what it says', async t => {
  const app = spawn(process.execPath, [join(folder, 'app.ts')], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => app.kill())
  let url: string | undefined
  for await (const line of createInterface(app.stdout)) {
    url = /"Server listening at (http:\/\/[^"]+)"/.exec(line)?.[1]
    if (url !== undefined) break
  }
  app.stdout.resume()
  const send = async (method: string, path: string, body?: object): Promise<any> => (await fetch(url + path, {
    method, body: JSON.stringify(body), headers: body === undefined ? {} : { 'content-type': 'application/json' }
  })).json()
  for (const body of [undefined, {}, { title: '' }, { title: { of: 'a book' } }]) {
    t.match(await send('POST', '/books', body), { statusCode: 400, code: 'FST_ERR_VALIDATION' })
    t.match(await send('PATCH', '/books/1', body), { statusCode: 400, code: 'FST_ERR_VALIDATION' })
  }
  t.match(await send('PATCH', '/books/first', { title: 'Emma' }), { statusCode: 400 })
  t.strictSame(await send('POST', '/books', { title: 'Ema' }), { id: 1, title: 'Ema', stock: 3 })
  t.strictSame(await send('PATCH', '/books/1', { title: 'Emma' }), { id: 1, title: 'Emma', stock: 3 })
  t.strictSame(await send('GET', '/books'), [{ id: 1, title: 'Emma', stock: 3 }])
})

t.test('the recipes do what they say', async t => {
  const { orm } = await load('orm.ts')
  t.teardown(() => orm.close())
  await orm.schema.create()
  const { order, add } = await load('book-service.ts')
  const { addOrFind } = await load('add-or-find.ts')
  const { restockLater } = await load('later.ts')

  const app = Fastify()
  app.setErrorHandler((await load('error-handler.ts')).handleError)
  app.register(contextOrm, { orm })
  app.register((await load('reports.ts')).reportRoutes)
  app.get('/export', (await load('export.ts')).exportBooks)
  app.post('/add/:title', async request => add((request.params as any).title))
  app.post('/addOrFind/:title', async request => addOrFind((request.params as any).title))
  app.post('/order/:id', async request => order((request.params as any).id))
  app.post('/restock', async request => {
    restockLater(request)
    return { ok: true }
  })
  const post = async (url: string): Promise<[number, any]> => {
    const { statusCode, payload } = await app.inject({ method: 'POST', url })
    return [statusCode, JSON.parse(payload)]
  }
  const get = async (url: string): Promise<unknown> => (await app.inject(url)).json()

  t.match(await post('/add/Emma'), [200, { id: 1, title: 'Emma', stock: 3 }])
  t.strictSame(await post('/add/Emma'), [409, { message: 'There is one already' }])
  t.match(await post('/addOrFind/Emma'), [200, { id: 1 }])
  t.match(await post('/addOrFind/Persuasion'), [200, { title: 'Persuasion' }])
  for (const stock of [2, 1, 0]) t.match(await post('/order/1'), [200, { stock }])
  t.match(await post('/order/1'), [409, { message: '"Emma" is sold out' }])
  t.strictSame(await post('/order/99'), [404, { statusCode: 404, error: 'Not Found', message: 'Not Found' }])
  t.strictSame(await get('/report'), { books: 2, missing: 1 })
  t.strictSame(await get('/health'), { ok: true })
  t.strictSame(await post('/restock'), [200, { ok: true }])
  await until(async () => (await get('/report') as any).missing === 0)
  const { headers, payload } = await app.inject('/export')
  t.equal(headers['content-type'], 'application/x-ndjson')
  t.strictSame(payload.trim().split('\n').map(line => JSON.parse(line).title), ['Emma', 'Persuasion'])
  await app.close()
})

t.test('the tests that the docs show run, and pass', async t => {
  const files = blocks.filter(({ name }) => name.endsWith('.test.ts')).map(({ name }) => join(folder, name))
  t.equal(files.length, 3)
  // as if from a terminal: node:test looks for the runner above it
  const { NODE_TEST_CONTEXT, ...env } = process.env
  const run = spawn(process.execPath, ['--test', '--test-reporter=spec', ...files], { env, stdio: ['ignore', 'pipe', 'inherit'] })
  const [said, [code]] = await Promise.all([run.stdout.toArray(), once(run, 'close')])
  const report = Buffer.concat(said).toString()
  t.equal(code, 0, report)
  t.match(report, /tests 3\n.*\n.*pass 3/)
})

t.test('the recipe with several databases does what it says', async t => {
  const app = await (await load('several.ts')).buildShop()
  t.teardown(() => app.close())
  t.match((await app.inject({ method: 'POST', url: '/' })).json(), { id: 1, title: 'Emma' })
  t.strictSame((await app.inject('/')).json(), { main: 1, archive: 1 })
})

t.test('what the docs say of contexts is so', async t => {
  const { orm, Book } = await load('orm.ts')
  await orm.schema.drop()
  await orm.schema.create()
  const titles = async (): Promise<string[]> => (await orm.em.fork().find(Book, {}, { orderBy: { title: 'asc' } }) as any[]).map(book => book.title)

  await orm.em.fork().insertMany(Book, [{ title: 'Emma', stock: 0 }, { title: 'Persuasion' }])
  t.equal(await (await load('restock.ts')).restock(), 1)
  t.equal(await orm.em.fork().count(Book, { stock: 3 }), 2)

  const { dashboard, noteAttempt } = await load('dashboard.ts')
  t.strictSame(await runInContext({ orm }, dashboard), { books: 2, missing: 0, first: 'Emma' })
  await t.rejects(runInContext({ orm }, async () => {
    await noteAttempt('Emma')
    throw new Error('no')
  }), { message: 'no' })
  t.strictSame(await titles(), ['Emma', 'Persuasion', 'attempt: Emma'])

  const { addInBatches } = await load('in-batches.ts')
  t.equal(await runInContext({ orm }, () => addInBatches([['a', 'b'], ['c', 'a'], ['d']])), 1)
  t.strictSame(await titles(), ['Emma', 'Persuasion', 'a', 'attempt: Emma', 'b', 'd'])

  const { orderByMail } = await load('charge.ts')
  await t.rejects(runInContext({ orm }, () => orderByMail(1, async () => { throw new Error('no mail') })), { message: 'no mail' })
  t.equal((await orm.em.fork().findOne(Book, { title: 'Emma' })).stock, 2)

  const { publish } = await load('welcome.ts')
  const told: string[] = []
  const tell = (what: string) => async (title: string) => { told.push(`${what} ${title}`) }
  await runInContext({ orm }, () => publish('e', tell('mailed'), tell('removed')))
  await t.rejects(runInContext({ orm }, () => publish('e', tell('mailed'), tell('removed'))))
  t.strictSame(told, ['mailed e', 'removed e'])

  const app = Fastify()
  t.teardown(() => app.close())
  app.register(contextOrm, { orm, beforeCommit: (await load('audit.ts')).audit })
  app.post('/', async () => { em().create(Book, { title: 'audited' } as any); return 'ok' })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
  t.ok((await titles()).includes('audit of req-1'))

  const lines: string[] = []
  ;(await load('watch.ts')).watch((line: string) => lines.push(line))
  await app.inject({ method: 'POST', url: '/' })
  t.match(lines, [/^POST \/: rolledBack \(error\) in \d+ ms$/])

  const handle = await (await load('moving.ts')).openMoving(join(folder, 'first.sqlite'), join(folder, 'second.sqlite'))
  t.teardown(() => handle.close())
  t.equal(handle.host, join(folder, 'second.sqlite'))
  t.equal(await runInContext({ orm: handle }, () => em().count(Book)), 0)
})

t.test('what the docs say of sockets is so', async t => {
  const { orm, Book } = await load('orm.ts')
  await orm.schema.drop()
  await orm.schema.create()
  const shop = new EventEmitter()
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(contextOrm, { orm })
  await app.register((await load('book-socket.ts')).bookSocket)
  await app.register((await load('book-events.ts')).bookEvents, { shop })
  const url = await app.listen({ host: '127.0.0.1', port: 0 })

  const socket = new WebSocket(`${url.replace('http', 'ws')}/books/socket`)
  await once(socket, 'open')
  const add = async (title: string): Promise<unknown> => {
    socket.send(title)
    return JSON.parse(String((await once(socket, 'message'))[0]))
  }
  t.strictSame(await add('Emma'), { id: 1, title: 'Emma', stock: 3 })
  t.strictSame(await add('Emma'), { error: 'Not added' })
  t.match(await add('Persuasion'), { title: 'Persuasion' })

  const events = new EventSource(`${url}/books/events`)
  t.teardown(() => events.close())
  await once(events, 'open')
  for (const stock of [2, 1]) {
    await orm.em.fork().nativeUpdate(Book, { id: 1 }, { stock })
    const sold = once(events, 'message')
    shop.emit('sold', 1)
    t.match(JSON.parse((await sold)[0].data), { title: 'Emma', stock }, 'as it is by then')
  }
  events.addEventListener('error', () => events.close())
  await Promise.all([once(socket, 'close'), app.close()])
  t.equal(shop.listenerCount('sold'), 0)
})

t.test('the tables of options are those of the code', async t => {
  const rows = (title: string): string[] => {
    const [, table] = new RegExp(`^\\| ${title} \\|.*\\n\\|---.*\\n((?:\\|.*\\n)+)`, 'm').exec(pages)!
    return [...table!.matchAll(/^\| `(\w+)` \|/gm)].map(match => match[1]!)
  }
  const known = async (register: () => unknown): Promise<string[]> => {
    try {
      await register()
      return []
    } catch (error: any) {
      return /there are ([\w, ]+)\)/.exec(error.message)![1]!.split(', ')
    }
  }
  const { orm } = await load('orm.ts')
  const app = Fastify()
  await app.register(contextOrm, { orm })
  t.teardown(() => app.close())
  t.strictSame(rows('option'), await known(async () => { await Fastify().register(contextOrm, { unknown: 1 } as any) }))
  t.strictSame(rows('`config.orm`'), await known(() => app.get('/', { config: { orm: { unknown: 1 } } } as any, async () => {})))
  t.strictSame(rows('`runInContext`'), await known(() => runInContext({ orm, unknown: 1 } as any, () => {})))
})

t.test('links lead somewhere, also from the package, which has neither the examples nor the benchmarks', async t => {
  const { homepage, files: published } = JSON.parse(await read('package.json'))
  const home = homepage.replace('#readme', '')
  const ofHome = new RegExp(`^${home.replace('github.com', '(?:github|raw\\.githubusercontent)\\.com')}/(?:(?:blob|tree)/)?HEAD/`)
  const anchors = (page: string): string[] => [...page.matchAll(/^#+ (.+)$/gm)].map(([, title]) => title!.toLowerCase().replace(/[^\w -]/g, '').replaceAll(' ', '-'))
  const files = ['README.md', 'docs/contexts.md', 'docs/coming-from.md', 'docs/observing.md', 'docs/testing.md']
  const counts = { package: 0, home: 0 }
  for (const file of files) {
    for (const [, path, anchor] of (await read(file)).matchAll(/\]\(([^)#]*)(?:#([^)]+))?\)/g)) {
      const isOfHome = ofHome.test(path!)
      if (!isOfHome && /^https?:/.test(path!)) continue
      const target = isOfHome ? path!.replace(ofHome, '') : path === '' ? file : join(dirname(file), path!)
      t.ok(existsSync(new URL(`../${target}`, import.meta.url)), `${file}: ${target}`)
      if (anchor !== undefined) t.ok(anchors(await read(target)).includes(anchor), `${file}: ${target}#${anchor}`)
      if (!isOfHome) t.ok(['README.md', ...published].some(name => target === name || target.startsWith(`${name}/`)), `${file}: ${target} is published`)
      counts[isOfHome ? 'home' : 'package']++
    }
  }
  t.ok(counts.package > 10 && counts.home > 10, JSON.stringify(counts))
})
