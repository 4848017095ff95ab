import { afterCommit, em, runInContext } from '../../index.ts'
import { Book, onEachDatabase } from '../support/databases.ts'
import { startServer } from '../support/server.ts'
import { collectSettled } from '../support/settled-events.ts'

onEachDatabase('a branch of a request that has ended without a database says whose it is, and logs where that logs', async (t, { orm, titles }) => {
  const settled = collectSettled(t)
  const goesOn = Promise.withResolvers<void>()
  const done = Promise.withResolvers<void>()
  let id = ''
  const { get, log } = await startServer(t, { orm }, app => {
    app.get('/', async request => {
      id = request.id
      goesOn.promise.then(() => runInContext(() => {
        em().create(Book, { title: 'late' })
        afterCommit(() => { throw new Error('by the hook') })
      })).then(done.resolve, done.reject)
      return 'ok'
    })
  })
  await get('/')
  goesOn.resolve()
  await done.promise
  t.match(settled, [{ kind: 'branch', requestId: id, outcome: 'committed' }])
  t.match(log, [{ err: { message: 'by the hook' } }])
  t.strictSame(await titles(), ['late'])
})
