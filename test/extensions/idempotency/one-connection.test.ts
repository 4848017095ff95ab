import { em, runInContext } from '../../../index.ts'
import { conflict } from '../../support/conflict.ts'
import { Book, onEveryEngine } from '../../support/databases.ts'
import { ONCE, startKeyedServer, withKeys } from './keyed-server.ts'

const POOL_OF_ONE = { pool: { min: 0, max: 1 } }

onEveryEngine('on one connection, requests with the same key and with others wait for each other, also between attempts', async (t, database) => {
  const runs = new Map<string, number>()
  const { post } = await startKeyedServer(t, { orm: await withKeys(database, POOL_OF_ONE), keys: { wait: 30_000 } }, app => {
    app.post('/', { config: { ...ONCE, orm: { retry: { attempts: 2, delay: () => 1 } } } }, async request => {
      const title = String(request.headers['idempotency-key'])
      const run = (runs.get(title) ?? 0) + 1
      runs.set(title, run)
      await em().insert(Book, { title })
      if (run === 1) await conflict(database.kind)
      return { title }
    })
  })
  const keys = Array.from({ length: 20 }, (_, i) => `${i % 5}`)
  const answers = await Promise.all(keys.map(key => post('/', key)))
  t.strictSame(answers.map(({ status, body }) => `${status} ${body}`), keys.map(key => `200 {"title":"${key}"}`))
  t.strictSame([...runs.values()], [2, 2, 2, 2, 2])
  t.strictSame(await database.titles(), ['0', '1', '2', '3', '4'])
})

onEveryEngine('on one connection, a handler that needs another one is told so at once, and its key is free', async (t, database) => {
  let needsAnother = true
  const { post } = await startKeyedServer(t, { orm: await withKeys(database, POOL_OF_ONE) }, app => {
    app.post('/', { config: ONCE }, async () => {
      if (needsAnother) await runInContext(() => em().insert(Book, { title: 'inner' }))
      return em().create(Book, { title: 'Emma' })
    })
  })
  const refused = await post('/', 'a')
  t.equal(refused.status, 500)
  t.match(refused.json.code, /^FST_ORM_(?:SINGLE_CONNECTION|POOL_STARVED)$/)
  needsAnother = false
  t.equal((await post('/', 'a')).status, 200)
  t.strictSame(await database.titles(), ['Emma'])
})
