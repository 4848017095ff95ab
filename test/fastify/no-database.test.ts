import { EntityManager } from '@mikro-orm/core'
import { currentContext } from '../../lib/context/context.ts'
import { onEachDatabase } from '../support/databases.ts'
import { startServer } from '../support/server.ts'

onEachDatabase('a request that touches no database costs no fork, no statement and no connection', async (t, { orm, sent, taken }) => {
  const fork = t.capture(orm.em, 'fork', orm.em.fork)
  let context: unknown
  const { post, get } = await startServer(t, { orm }, app => {
    app.get('/', async () => {
      context = currentContext()
      return { ok: true }
    })
    app.post('/', async () => { throw new Error('no') })
  })
  t.equal((await get('/')).status, 200)
  t.match(context, { outcome: 'untouched', ending: 'reply' })
  t.equal((await post('/')).status, 500)
  t.strictSame(sent, [])
  t.equal(taken(), 0)
  t.strictSame(fork(), [])
  t.ok(orm.em instanceof EntityManager)
})
