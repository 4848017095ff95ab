import contextOrm, { em } from '../../index.ts'
import { loadAnotherFastify } from '../support/another-fastify.ts'
import { conflict } from '../support/conflict.ts'
import { Book, onEachDatabase, onSqlite } from '../support/databases.ts'

onEachDatabase('a Fastify that keeps its routes elsewhere is said to be unknown, and requests are settled all the same', async (t, { orm, titles }) => {
  const Fastify = loadAnotherFastify(symbols => { symbols.kRouteContext = Symbol('fastify.elsewhere') })
  const log: any[] = []
  const app = Fastify({ logger: { level: 'error', stream: { write: (line: string) => { log.push(JSON.parse(line)) } } } })
  t.teardown(() => app.close())
  app.register(contextOrm, { orm })
  app.post('/:title', async request => {
    const { title } = request.params as { title: string }
    const book = em().create(Book, { title })
    await em().flush()
    if (title === 'bad') throw new Error('no')
    return book
  })
  app.get('/', async () => em().count(Book))
  let runs = 0
  app.get('/retry', { config: { orm: { retry: 3 } } }, async () => {
    runs++
    await conflict('sqlite')
  })
  t.match((await app.inject({ method: 'POST', url: '/Emma' })).json(), { id: 1, title: 'Emma' })
  t.match(log, [{ level: 50, msg: `fastify-context-orm does not find its way in Fastify ${app.version}` }])
  t.equal((await app.inject({ method: 'POST', url: '/bad' })).statusCode, 500)
  t.equal((await app.inject('/')).body, '1')
  t.match(log, [{}, { msg: 'no' }], 'once')
  t.equal((await app.inject('/retry')).statusCode, 500)
  t.equal(runs, 1, 'and no handler is run again')
  t.strictSame(await titles(), ['Emma'])
})

onSqlite('on a Fastify whose replies are kept in another way, no handler is run again', async (t, { orm }) => {
  const Fastify = loadAnotherFastify(symbols => { symbols.kReplyIsRunningOnErrorHook = Symbol('fastify.elsewhere') })
  const app = Fastify()
  t.teardown(() => app.close())
  app.register(contextOrm, { orm })
  let runs = 0
  app.get('/', { config: { orm: { retry: 3 } } }, async () => {
    runs++
    await em().count(Book)
    await conflict('sqlite')
  })
  t.match((await app.inject('/')).json(), { statusCode: 500, code: 'SQLITE_BUSY' })
  t.equal(runs, 1)
})
