import contextOrm, { em } from '../../index.ts'
import { loadAnotherFastify } from '../support/another-fastify.ts'
import { Book, onEachDatabase } from '../support/databases.ts'

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
  t.match((await app.inject({ method: 'POST', url: '/Emma' })).json(), { id: 1, title: 'Emma' })
  t.match(log, [{ level: 50, msg: `fastify-context-orm does not find its way in Fastify ${app.version}` }])
  t.equal((await app.inject({ method: 'POST', url: '/bad' })).statusCode, 500)
  t.equal((await app.inject('/')).body, '1')
  t.match(log, [{}, { msg: 'no' }], 'once')
  t.strictSame(await titles(), ['Emma'])
})
