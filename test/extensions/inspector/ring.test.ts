import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { setImmediate } from 'node:timers/promises'
import { context, em, runInContext } from '../../../index.ts'
import { MOST_CONTEXTS, MOST_STANDING_OUT } from '../../../lib/extensions/inspector/records.ts'
import { Book, onEachDatabase, onSqlite } from '../../support/databases.ts'
import { startInspected } from './inspected-server.ts'

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

onEachDatabase('the last 200 contexts are kept, and of them no objects of the app', async (t, { orm }) => {
  const entities: WeakRef<object>[] = []
  const views: WeakRef<object>[] = []
  const server = await startInspected(t, orm, app => {
    app.get('/books', async () => {
      views.push(new WeakRef(context()))
      entities.push(new WeakRef(em()))
      await em().find(Book, {})
      return 'ok'
    })
  })
  const send = async (count: number): Promise<string> => {
    let address = ''
    for (let i = 0; i < count; i++) {
      const response = await server.get('/books')
      await response.text()
      address = response.headers.get('x-orm-context')!
    }
    return address
  }
  let address: string
  do address = await send(1)
  while ((await (await server.get(address)).json() as any).problems.length > 0) // such as a first connection that was slow
  await runInContext({ orm, name: 'job' }, async () => { await em().count(Book) })
  await send(MOST_CONTEXTS - MOST_STANDING_OUT - 2)
  t.equal((await server.get(address)).status, 200, 'it is there still')
  await send(MOST_STANDING_OUT + 2)
  t.equal((await server.contexts()).length, MOST_CONTEXTS)
  t.equal((await server.get(address)).status, 404, 'and has fallen out')

  for (let i = 0; i < 20; i++) {
    await setImmediate()
    collectGarbage()
  }
  const last = 5 // what sockets and the engine hold on to a while longer
  t.equal(entities.slice(0, -last).filter(ref => ref.deref() !== undefined).length, 0, 'no EntityManager is kept')
  t.equal(views.slice(0, -last).filter(ref => ref.deref() !== undefined).length, 0, 'no context is kept')
})

onEachDatabase('one that has not ended stays, however many come after it, and one that stands out stays longer', async (t, { orm }) => {
  const { promise, resolve } = Promise.withResolvers<void>()
  const server = await startInspected(t, orm, app => {
    app.get('/long', async () => {
      await em().count(Book)
      await promise
      return 'ok'
    })
    app.get('/books', async () => await em().find(Book, {}))
    app.get('/fails', async () => { await em().count(Book); throw new Error('no') })
  })
  const long = server.get('/long')
  const failed = await server.get('/fails')
  await failed.text()
  for (let i = 0; i < MOST_CONTEXTS + 20; i++) await (await server.get('/books')).text()
  const contexts = await server.contexts()
  t.equal(contexts.length, MOST_CONTEXTS)
  t.match(contexts[0], { route: '/long', state: 'idle', reads: 1 })
  t.match(contexts[1], { route: '/fails', outcome: 'rolledBack' }, 'and one that stands out stays longer')
  resolve()
  await (await long).text()
})

onEachDatabase('of one context, 200 statements are kept, and all are counted', async (t, { orm }) => {
  const server = await startInspected(t, orm, app => {
    app.get('/many', async () => {
      for (let i = 0; i < 230; i++) await em().findOne(Book, { id: i })
      return 'ok'
    })
  })
  const response = await server.get('/many')
  await response.text()
  const described = await server.contextOf(response)
  t.match(described, { reads: 230, leftOut: 30, problems: [{ kind: 'repeated', text: /^230 times/ }] })
  t.equal(described.statements.length, 200)
})

onSqlite('of those that stand out, 50 are kept', async (t, { orm }) => {
  const server = await startInspected(t, orm, app => {
    app.get('/fails', async () => { await em().count(Book); throw new Error('no') })
  })
  for (let i = 0; i < MOST_STANDING_OUT + 10; i++) await (await server.get('/fails')).text()
  t.equal((await server.contexts()).length, MOST_STANDING_OUT)
})
