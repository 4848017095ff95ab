import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import t from 'tap'
import { clientAt } from '../support/cookbook.ts'

const folder = join(import.meta.dirname, '../../examples/cookbook/javascript')

// tap puts a loader into whatever Node is started, which does not know TypeScript that is required
const skip = process.platform === 'win32' && 'there is no env'

for (const file of ['app.js', 'app.cjs']) {
  t.test(`an app in JavaScript: ${file}`, { skip }, async t => {
    const server = spawn('env', ['-u', 'NODE_OPTIONS', process.execPath, '-C', 'fastify-context-orm-development', join(folder, file)], {
      env: { ...process.env, PORT: '0', BOOKS: ':memory:' }, stdio: ['ignore', 'pipe', 'inherit']
    })
    t.teardown(() => server.kill('SIGKILL'))
    const ended = once(server, 'exit').then(([code]) => { throw new Error(`${file} has ended with ${code}`) })
    const [url] = await Promise.race([once(createInterface(server.stdout), 'line'), ended])
    ended.catch(() => {})
    const { get, post } = clientAt(url)
    t.strictSame((await post('/books', { title: 'Emma' })).body, { id: 1, title: 'Emma' })
    t.match(await post('/books', { title: 'Emma' }), { status: 409, body: { message: 'Conflict' } })
    t.strictSame((await get('/books')).body, [{ id: 1, title: 'Emma' }])
    const exited = once(server, 'exit')
    server.kill('SIGTERM')
    t.strictSame(await exited, [0, null])
  })
}
