import { once } from 'node:events'
import { request } from 'node:http'
import { em } from '../../index.ts'
import { runningContexts } from '../../lib/context/running-contexts.ts'
import { Book, onEachDatabase, onEachPool } from '../support/databases.ts'
import { delayCommits, isCommitting } from '../support/delayed-commits.ts'
import { untilOne } from '../support/server-connections.ts'
import { startServer } from '../support/server.ts'
import { collectSettled } from '../support/settled-events.ts'
import { until } from '../support/until.ts'

onEachPool('closing the app waits for the commit of a route with retry whose client has left', async (t, database) => {
  const { orm, titles } = database
  const settled = collectSettled(t)
  const release = await delayCommits(database, 'kept')
  const closed = Promise.withResolvers<void>()
  const { app } = await startServer(t, { orm }, app => {
    app.post('/', { config: { orm: { retry: 3 } } }, async (_request, reply) => {
      reply.raw.on('close', closed.resolve)
      em().create(Book, { title: 'kept' })
      return 'ok'
    })
  })
  const sent = request(`http://127.0.0.1:${(app.server.address() as { port: number }).port}/`, { method: 'POST' })
  sent.on('error', () => {})
  sent.end()
  await untilOne(database, isCommitting)
  sent.destroy()
  await closed.promise
  t.equal(runningContexts(() => true).length, 1, 'it is still running')
  const closing = app.close()
  await release()
  await closing
  t.match(settled, [{ outcome: 'committed' }])
  t.strictSame(await titles(), ['kept'])
  t.equal(runningContexts(() => true).length, 0)
})

onEachDatabase('a client that leaves before the handler of a route with retry begins leaves nothing that app.close() waits for', async (t, { orm }) => {
  const waiting = Promise.withResolvers<void>()
  const done = Promise.withResolvers<void>()
  const { app, log } = await startServer(t, { orm, closeTimeout: 1000 }, app => {
    const preHandler = async (_request: unknown, { raw }: { raw: NodeJS.EventEmitter }): Promise<void> => {
      const gone = once(raw, 'close')
      waiting.resolve()
      await gone
    }
    app.get('/', { config: { orm: { retry: 3 } }, preHandler }, async () => {
      done.resolve()
      return 'ok'
    })
  })
  const sent = request(`${app.listeningOrigin}/`).on('error', () => {}).end()
  await waiting.promise
  sent.destroy()
  await done.promise
  await until(() => runningContexts(() => true).length === 0)
  await app.close()
  t.strictSame(log, [])
})
