import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import Fastify from 'fastify'
import t from 'tap'
import buildApp from '../../examples/cookbook/autoload/app.ts'
import { openBooks } from '../../examples/cookbook/books.ts'
import { freePort } from '../support/free-port.ts'
import { clientAt, clientOf } from '../support/cookbook.ts'

const root = join(import.meta.dirname, '../..')

t.test('routes that @fastify/autoload finds have the context of the plugin that it finds', async t => {
  process.env.BOOKS = join(t.testdir({}), 'books.sqlite')
  t.teardown(() => { delete process.env.BOOKS })
  const app = Fastify()
  app.register(buildApp)
  const { get, post } = await clientOf(t, app)
  t.match(await post('/books', { title: 'Emma' }), { status: 200, body: { id: 1, title: 'Emma', stock: 3 } })
  t.match(await post('/books', { title: 'Emma' }), { status: 409 })
  t.match(await get('/books'), { body: [{ title: 'Emma' }] })
})

t.test('fastify-cli starts it, and SIGTERM ends it', async t => {
  const cli = createRequire(join(root, 'examples/cookbook/package.json')).resolve('fastify-cli/cli.js')
  const port = await freePort()
  const dbName = join(t.testdir({}), 'books.sqlite')
  const server = spawn(process.execPath, [cli, 'start', '-p', String(port), '-l', 'info', 'examples/cookbook/autoload/app.ts'], {
    cwd: root, env: { ...process.env, BOOKS: dbName }, stdio: ['ignore', 'pipe', 'inherit']
  })
  t.teardown(() => server.kill('SIGKILL'))
  for await (const line of createInterface(server.stdout)) if (line.includes('Server listening')) break
  server.stdout.resume()
  const { post } = clientAt(`http://127.0.0.1:${port}`)
  t.match(await post('/books', { title: 'Emma' }), { status: 200, body: { id: 1 } })
  const exited = once(server, 'exit')
  server.kill('SIGTERM')
  t.strictSame(await exited, [0, null])
  const orm = await openBooks({ dbName })
  t.teardown(() => orm.close())
  t.match(await (orm.em.getConnection() as any).execute('select title from book'), [{ title: 'Emma' }])
})
