import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import t from 'tap'
import { clientAt } from '../support/cookbook.ts'

const folder = join(import.meta.dirname, '../../examples/cookbook/decorators')

t.test('entities with decorators, run by tsx', async t => {
  const tsx = createRequire(join(folder, 'server.ts')).resolve('tsx/cli')
  const server = spawn(process.execPath, [tsx, '--tsconfig', join(folder, 'tsconfig.json'), join(folder, 'server.ts')], {
    env: { ...process.env, PORT: '0', BOOKS: ':memory:' }, stdio: ['ignore', 'pipe', 'inherit']
  })
  t.teardown(() => server.kill('SIGKILL'))
  const [url] = await once(createInterface(server.stdout), 'line')
  const { get, post } = clientAt(url)
  t.strictSame(await post('/books', ['Emma', 'emma', 'Mansfield Park']).then(({ body }) => body), [
    { id: 1, title: 'Emma', stock: 3, slug: 'emma' }, { id: 2, title: 'Mansfield Park', stock: 3, slug: 'mansfield-park' }
  ])
  for (const stock of [2, 1, 0]) t.match(await post('/books/emma/order'), { status: 200, body: { stock } })
  t.match(await post('/books/emma/order'), { status: 409, body: { message: '"Emma" is sold out' } })
  t.match(await post('/books/persuasion/order'), { status: 404 })
  t.match((await get('/books')).body, [{ slug: 'emma', stock: 0 }, { slug: 'mansfield-park', stock: 3 }])
  const exited = once(server, 'exit')
  server.kill('SIGTERM')
  t.strictSame(await exited, [0, null])
})
