import { em } from '../../index.ts'
import { Book, onEveryEngine } from '../support/databases.ts'
import { NEEDS_HANDLER_TIMEOUT } from '../support/fastify-features.ts'
import { startServer } from '../support/server.ts'
import { watchStrayErrors } from '../support/stray-errors.ts'
import { until } from '../support/until.ts'

onEveryEngine('a handlerTimeout that is over while an error is rolled back harms nobody', async (t, { orm, titles, taken }) => {
  const assertNoStrayErrors = watchStrayErrors(t)
  const timedOut = Promise.withResolvers<void>()
  const rolledBack = Promise.withResolvers<void>()
  orm.em.getEventManager().registerSubscriber({
    async beforeTransactionRollback () { await timedOut.promise },
    async afterTransactionRollback () { rolledBack.resolve() }
  })
  const { get } = await startServer(t, { orm }, app => {
    app.get('/', { handlerTimeout: 1000 }, async request => {
      setTimeout(timedOut.resolve, 1200) // where the reply has been sent by then, nobody says that the timeout is over
      request.signal.addEventListener('abort', () => setImmediate(timedOut.resolve))
      await em().insert(Book, { title: 'Emma' })
      throw new Error('no')
    })
  })
  t.equal((await get('/')).status, 500)
  await rolledBack.promise
  await until(() => taken() === 0)
  t.strictSame(await titles(), [])
  await assertNoStrayErrors()
}, NEEDS_HANDLER_TIMEOUT)

onEveryEngine('a handlerTimeout after a flush is nobody\'s hijacked reply, also if the response closes before the rollback has ended', async (t, { orm, titles, taken }) => {
  const closed = Promise.withResolvers<void>()
  orm.em.getEventManager().registerSubscriber({
    async beforeTransactionRollback () { await closed.promise }
  })
  const { get, log } = await startServer(t, { orm }, app => {
    app.get('/', { handlerTimeout: 200 }, async (_request, reply) => {
      reply.raw.on('close', () => setImmediate(closed.resolve))
      await em().insert(Book, { title: 'Emma' })
      await closed.promise
    })
  })
  t.equal((await get('/')).status, 503)
  await closed.promise
  await until(() => taken() === 0)
  t.strictSame(await titles(), [])
  t.strictSame(log.filter(({ msg }) => msg.includes('hijack')), [])
}, NEEDS_HANDLER_TIMEOUT)
