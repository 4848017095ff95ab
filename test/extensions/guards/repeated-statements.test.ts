import { em, runInContext } from '../../../index.ts'
import { startGuards } from '../../../guards.ts'
import { Author, Book, onEachDatabase } from '../../support/databases.ts'
import { here } from '../../support/events.ts'
import { startGuarded, told } from './guarded-server.ts'

onEachDatabase('a query in a loop is named with the line that asks most often, once', async (t, { orm }) => {
  await orm.em.fork().insertMany(Author, Array.from({ length: 6 }, (_, i) => ({ name: `Author ${i}` })))
  let line: RegExp
  const server = await startGuarded(t, orm, { repeatedStatements: 'warn', maxRepeats: 3 }, app => {
    app.post('/', async () => {
      await em().count(Book, { author: 99 })
      for (const { id } of await em().find(Author, {})) {
        line = here(1)
        await em().count(Book, { author: id })
      }
      return 'ok'
    })
    app.post('/few', async () => {
      for (let i = 0; i < 3; i++) await em().count(Book, { author: i })
      for (let i = 0; i < 3; i++) await em().count(Author, { id: i })
      return 'ok'
    })
  })
  t.equal((await server.post('/')).status, 200)
  const [message, ...others] = told(server)
  t.strictSame(others, [])
  const [, found] = /POST \/ sends the same statement more than 3 times, at (\S+): select/.exec(message!) ?? [message]
  t.match(found, line!)
  server.log.length = 0
  t.equal((await server.post('/few')).status, 200)
  t.strictSame(server.log, [])
})

onEachDatabase('a context that only reads fails as well, and is told why', async (t, { orm }) => {
  const server = await startGuarded(t, orm, { repeatedStatements: 'error', maxRepeats: 2 }, app => {
    app.post('/', async () => {
      for (let i = 0; i < 5; i++) await em().count(Book, { stock: i })
      return { all: 'well' }
    })
  })
  const response = await server.post('/')
  t.match(await response.json(), { statusCode: 500, code: 'FST_ORM_GUARD' })
})

onEachDatabase('writes in a loop of a job are found, what is flushed at once is not, and a context is as long as its attempt', async (t, { orm, titles }) => {
  t.teardown(startGuards({ repeatedStatements: 'error', maxRepeats: 4 }))
  await t.rejects(runInContext({ orm, name: 'import' }, async () => {
    for (let i = 0; i < 5; i++) await em().insert(Book, { title: `${i}` })
  }), { code: 'FST_ORM_GUARD', message: /import sends the same statement more than 4 times.*insert into/ })
  t.strictSame(await titles(), [])
  await runInContext({ orm }, async () => {
    for (let i = 0; i < 5; i++) em().create(Book, { title: `${i}` })
  })
  t.equal((await titles()).length, 5)
})
