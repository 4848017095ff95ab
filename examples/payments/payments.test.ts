import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { buildApp } from './app.ts'

t.test('a payment happens once, however often and at whatever moment it is sent', async t => {
  const app = buildApp({ file: ':memory:' })
  t.teardown(() => app.close())
  const pay = async (key: string, payload: object, authorization = 'jane'): Promise<any> =>
    await app.inject({ method: 'POST', url: '/payments', headers: { 'idempotency-key': key, authorization }, payload })
  const balance = async (authorization: string): Promise<number> => (await app.inject({ url: '/account', headers: { authorization } })).json().balance

  const replies = await Promise.all(Array.from({ length: 5 }, () => pay('a', { to: 2, amount: 100 })))
  t.strictSame(replies.map(({ statusCode }) => statusCode), [201, 201, 201, 201, 201])
  t.strictSame(replies.map(({ payload }) => payload), Array(5).fill('{"id":1,"from":1,"to":2,"amount":100}'))
  t.strictSame([await balance('jane'), await balance('fanny')], [9900, 100])

  t.equal((await pay('a', { to: 2, amount: 200 })).statusCode, 422)
  t.match((await pay('a', { to: 1, amount: 50 }, 'fanny')).json(), { id: 2 }, 'another account has keys of its own')
  t.equal((await pay('b', { to: 1, amount: 5000 }, 'fanny')).statusCode, 402)
  t.equal((await pay('c', { to: 2, amount: 9000 })).statusCode, 201)
  t.match(await pay('b', { to: 1, amount: 5000 }, 'fanny'), { statusCode: 402, headers: { 'idempotency-replayed': 'true' } }, 'it was declined, and stays so')
  t.equal((await app.inject({ method: 'POST', url: '/payments', headers: { authorization: 'jane' }, payload: { to: 2, amount: 1 } })).statusCode, 400)
  t.equal((await pay('d', { to: 2, amount: 1 }, 'nobody')).statusCode, 401)
  t.equal((await app.inject('/account')).statusCode, 401)
  t.strictSame([await balance('jane'), await balance('fanny')], [950, 9050])
})

t.test('the server starts', async t => {
  const server = spawn(process.execPath, [fileURLToPath(new URL('server.ts', import.meta.url))], {
    cwd: t.testdir({}), env: { ...process.env, PORT: '0' }, stdio: ['ignore', 'pipe', 'inherit']
  })
  t.teardown(() => server.kill('SIGKILL'))
  const [line] = await once(createInterface(server.stdout), 'line')
  const response = await fetch(/http:\S+/.exec(line)![0], {
    method: 'POST', headers: { authorization: 'jane', 'idempotency-key': 'a', 'content-type': 'application/json' }, body: '{"to":2,"amount":100}'
  })
  t.equal(response.status, 201)
  const exited = once(server, 'exit')
  server.kill('SIGTERM')
  t.strictSame(await exited, [0, null])
})

t.test('a database that cannot be opened ends it with a word', async t => {
  const server = spawn(process.execPath, [fileURLToPath(new URL('server.ts', import.meta.url))], {
    cwd: t.testdir({ 'payments.sqlite': {} }), env: { ...process.env, PORT: undefined }, stdio: ['ignore', 'ignore', 'pipe']
  })
  t.match(Buffer.concat(await server.stderr.toArray()).toString(), /The server cannot start/)
})
