import Fastify, { type FastifyInstance } from 'fastify'
import t from 'tap'
import contextOrm, { em } from '../../index.ts'
import { Book, onEachDatabase, onSqlite, type Orm } from '../support/databases.ts'
import { startServer } from '../support/server.ts'

async function register (t: Tap, options: unknown): Promise<FastifyInstance> {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(contextOrm, options as any)
  return app
}

type Tap = typeof t

onSqlite('each mistake in the options says what is wrong with it', async (t, { orm, another }) => {
  const mistakes: [options: object, message: RegExp][] = [
    [{}, /"orm" takes a MikroORM with an SQL driver \(not its em\), an array of them, or a function that makes either, got nothing/],
    [{ orm: undefined }, /"orm" takes .*, got nothing/],
    [{ orm: 'sqlite' }, /"orm" takes .*, got 'sqlite' \(string\)/],
    [{ orm: null }, /"orm" takes .*, got null \(null\)/],
    [{ orm: [] }, /"orm" takes .*, got \[\] \(object\)/],
    [{ orm: [orm, 5] }, /"orm" takes .*, got \[ .* \(object\)/],
    [{ orm: orm.em }, /"orm" takes .*EntityManager/],
    [{ orm: () => 'sqlite' }, /"orm" takes .*, got a function or promise that gave 'sqlite' \(string\)/],
    [{ orm: async () => undefined }, /"orm" takes .*, got a function or promise that gave undefined \(undefined\)/],
    [{ orm: [orm, await another()] }, /"orm" takes MikroORMs that differ in their contextName, got two that are called "default"/],
    [{ orm, transaction: true }, /"transaction" takes 'on-write', 'on-query' or false, got true \(boolean\)/],
    [{ orm, transaction: 'onWrite' }, /"transaction" takes .*, got 'onWrite' \(string\)/],
    [{ orm, shouldCommit: 200 }, /"shouldCommit" takes a function, got 200 \(number\)/],
    [{ orm, shouldcommit: () => true }, /"shouldcommit" takes no value, as there is no such option \(there are orm, transaction, shouldCommit, beforeCommit, onAbort, statusCodes, closeTimeout, warnHeldMs, streamTimeout, replicas\), got \[Function: shouldcommit\]/],
    [{ orm, replicas: true }, /"replicas" takes an object: \{ readYourWrites, secret \}, got true \(boolean\)/],
    [{ orm, replicas: { readYourWrites: 'cookie' } }, /fastify-context-orm, replicas: the option "secret" takes a string that is not empty, or an array of them, got nothing/],
    [{ orm, replicas: { readYourWrites: 'cookie', secret: [] } }, /"secret" takes .*, got \[\] \(object\)/],
    [{ orm, replicas: { readYourWrites: 'cookie', secret: '' } }, /"secret" takes .*, got '' \(string\)/],
    [{ orm, replicas: { secret: 'secret' } }, /"readYourWrites" takes 'cookie', 'header' or \{ get\(request\), set\(reply, token\) \}, got nothing/],
    [{ orm, replicas: { readYourWrites: { get () {} }, secret: 'secret' } }, /"readYourWrites" takes .*, got \{ get: \[Function: get\] \} \(object\)/],
    [{ orm, replicas: { readYourWrites: 'header', secret: 'secret', wait: -1 } }, /"wait" takes a number of milliseconds, 0 or more, got -1/],
    [{ orm, replicas: { readYourWrites: 'header', secret: 'secret', maxAge: 0 } }, /"maxAge" takes a number of milliseconds, more than 0, got 0/],
    [{ orm, toString: 1 }, /"toString" takes no value/],
    [{ orm, beforeCommit: true }, /"beforeCommit" takes a function, got true \(boolean\)/],
    [{ orm, onAbort: 'ignore' }, /"onAbort" takes 'rollback' or 'commit', got 'ignore' \(string\)/],
    [{ orm, statusCodes: 409 }, /"statusCodes" takes true or false, got 409 \(number\)/],
    [{ orm, closeTimeout: '10s' }, /"closeTimeout" takes a number of milliseconds, 0 or more, got '10s' \(string\)/],
    [{ orm, closeTimeout: -1 }, /"closeTimeout" takes .*, got -1 \(number\)/],
    [{ orm, warnHeldMs: NaN }, /"warnHeldMs" takes .*, got NaN \(number\)/],
    [{ orm, streamTimeout: 0 }, /"streamTimeout" takes a number of milliseconds, more than 0, got 0 \(number\)/]
  ]
  for (const [options, message] of mistakes) {
    await t.rejects(register(t as Tap, options), { code: 'FST_ORM_BAD_OPTION', statusCode: 500, message }, String(message))
  }
  await t.rejects(register(t as Tap, { orm: () => { throw new Error('no such file') } }), { message: 'no such file' }, 'what the function throws is passed on')
  await t.resolves(register(t as Tap, { orm, prefix: '/api', logLevel: 'warn', transaction: undefined }), 'Fastify\'s own options are none of ours')
})

onSqlite('each mistake in a route\'s config says which route it is', async (t, { orm }) => {
  const mistakes: [orm: unknown, message: RegExp][] = [
    [true, /route GET \/x: the option "config.orm" takes an object, or false for no context, got true \(boolean\)/],
    [null, /"config.orm" takes .*, got null \(null\)/],
    [{ isolation: 'serializable' }, /route GET \/x, config.orm: the option "isolation" takes no value, as there is no such option \(there are transaction, isolationLevel, readOnly, replica, shouldCommit, onAbort, streamTimeout, retry\)/],
    [{ isolationLevel: 'strict' }, /"isolationLevel" takes one of 'read uncommitted', .*'serializable', got 'strict' \(string\)/],
    [{ readOnly: 'yes' }, /"readOnly" takes true or false, got 'yes' \(string\)/],
    [{ transaction: 'always' }, /"transaction" takes .*, got 'always' \(string\)/],
    [{ shouldCommit: true }, /"shouldCommit" takes a function, got true \(boolean\)/],
    [{ onAbort: true }, /"onAbort" takes 'rollback' or 'commit', got true \(boolean\)/],
    [{ transaction: false, readOnly: true }, /"readOnly" takes a transaction \('on-write' or 'on-query'\), got transaction: false/],
    [{ transaction: false, isolationLevel: 'serializable' }, /"isolationLevel" takes a transaction .*, got transaction: false/]
  ]
  for (const [config, message] of mistakes) {
    const app = await register(t as Tap, { orm })
    t.throws(() => app.get('/x', { config: { orm: config } as any }, async () => 'ok'), { code: 'FST_ORM_BAD_OPTION', message }, String(message))
  }
})

onSqlite('a route\'s config is not changed', async (t, { orm }) => {
  const app = await register(t as Tap, { orm })
  const config = Object.freeze({ orm: Object.freeze({ readOnly: true }), other: 1 })
  app.get('/', { config }, async request => request.routeOptions.config)
  t.match((await app.inject('/')).json(), { other: 1, orm: { readOnly: true } })
})

onEachDatabase('a MikroORM that a function makes is closed with the app', async (t, { another }) => {
  const made: Orm[] = []
  const passed = await another()
  for (const orm of [async () => { made.push(await another()); return made.at(-1)! }, () => { made.push(passed); return [passed] }]) {
    const app = Fastify()
    await app.register(contextOrm, { orm: orm as any })
    t.equal(app.orm, made.at(-1) as any)
    t.equal(await made.at(-1)!.isConnected(), true)
    await app.close()
    t.equal(await made.at(-1)!.isConnected(), false)
  }
  const refused = [await another(), await another()]
  const failing = Fastify()
  await t.rejects(async () => { await failing.register(contextOrm, { orm: () => refused as any }) }, { code: 'FST_ORM_BAD_OPTION' })
  t.strictSame(await Promise.all(refused.map(orm => orm.isConnected())), [false, false], 'also if it is refused')
  const promised = await another()
  const app = Fastify()
  await app.register(contextOrm, { orm: Promise.resolve([promised]) })
  await app.close()
  t.equal(await promised.isConnected(), true, 'and one that was passed in is not')
})

onEachDatabase('several databases are reached by name', async (t, { orm: main, another, titles }) => {
  const audit = await another({ contextName: 'audit' })
  const { app, failure, post, get } = await startServer(t, { orm: [main, audit] }, app => {
    app.post('/', async request => {
      t.equal(em(), request.em)
      t.equal(em('default'), request.em)
      t.equal(main.em.getContext(), request.em)
      t.equal(audit.em.getContext(), em('audit') as any)
      em().create(Book, { title: 'main' })
      return 'ok'
    })
    app.get('/unknown', async () => em('reporting'))
  })
  t.equal(app.orm, main as any)
  t.equal((await post('/')).status, 200)
  t.strictSame(await titles(), ['main'])
  t.match(await failure(get('/unknown')), {
    code: 'FST_ORM_UNKNOWN_DATABASE', message: /no database "reporting" here: .* the known ones are "default", "audit"/
  })
})
