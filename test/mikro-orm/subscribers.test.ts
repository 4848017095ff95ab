import type { EventSubscriber, TransactionEventArgs } from '@mikro-orm/core'
import { em } from '../../index.ts'
import { Book, onEachDatabase, type Orm } from '../support/databases.ts'
import { startServer } from '../support/server.ts'

const EVENTS = [
  'beforeTransactionStart', 'afterTransactionStart', 'beforeTransactionCommit', 'afterTransactionCommit',
  'beforeTransactionRollback', 'afterTransactionRollback'
] as const

type Listener = (event: typeof EVENTS[number], args: TransactionEventArgs) => Promise<void> | void

function subscribe (orm: Orm, listener: Listener): void {
  const subscriber: EventSubscriber = {}
  for (const event of EVENTS) subscriber[event] = async args => { await listener(event, args) }
  orm.em.getEventManager().registerSubscriber(subscriber)
}

onEachDatabase('MikroORM\'s transaction events are sent once each, and only if there is a transaction', async (t, { orm }) => {
  const seen: string[] = []
  subscribe(orm, event => { seen.push(event) })
  const { get, post } = await startServer(t, { orm }, app => {
    app.get('/', async () => em().count(Book))
    app.post('/', async () => em().create(Book, { title: 'Emma' }))
    app.post('/fail', async () => {
      await em().insert(Book, { title: 'Persuasion' })
      throw new Error('no')
    })
  })
  await get('/')
  t.strictSame(seen, [])
  await post('/')
  t.strictSame(seen.splice(0), EVENTS.slice(0, 4))
  await post('/fail')
  t.strictSame(seen, [...EVENTS.slice(0, 2), ...EVENTS.slice(4)])
})

onEachDatabase('a subscriber may run statements in the transaction, after its start and before its commit', async (t, { orm, titles }) => {
  subscribe(orm, async (event, { em }) => {
    if (event === 'afterTransactionStart' || event === 'beforeTransactionCommit') await em.insert(Book, { title: event })
  })
  const { post } = await startServer(t, { orm }, app => {
    app.post('/', async () => em().create(Book, { title: 'Emma' }))
  })
  t.equal((await post('/')).status, 200)
  t.strictSame(await titles(), ['Emma', 'afterTransactionStart', 'beforeTransactionCommit'])
})

onEachDatabase('statements in parallel wait for the subscribers to the start, and those of the subscribers do not', async (t, { orm, sent }) => {
  subscribe(orm, async (event, { em }) => {
    if (event !== 'beforeTransactionStart' && event !== 'afterTransactionStart') return
    await new Promise(resolve => setImmediate(resolve))
    await em.nativeUpdate(Book, { title: event }, { stock: 0 })
  })
  const { post } = await startServer(t, { orm }, app => {
    app.post('/', async () => {
      const first = em().insert(Book, { title: 'first' })
      await new Promise(resolve => setImmediate(resolve))
      await Promise.all([first, em().insert(Book, { title: 'second' })])
      return 'ok'
    })
  })
  t.equal((await post('/')).status, 200)
  t.match(sent, [/^update.*beforeTransactionStart/, 'begin', /^update.*afterTransactionStart/, /^insert.*first/, /^insert.*second/, 'commit'])
})

onEachDatabase('a subscriber that throws makes the request fail before the commit, and changes nothing after it', async (t, { orm, titles, taken }) => {
  let failing: string | undefined
  subscribe(orm, event => { if (event === failing) throw new Error(event) })
  const { failure, post, log } = await startServer(t, { orm }, app => {
    app.post('/', async () => em().create(Book, { title: String(failing) }))
    app.post('/fail', async () => {
      await em().insert(Book, { title: 'never' })
      throw new Error('no')
    })
  })
  for (failing of EVENTS.slice(0, 3)) {
    t.match(await failure(post('/')), { statusCode: 500, message: failing })
    t.strictSame(await titles(), [], failing)
    t.equal(taken(), 0)
  }
  log.length = 0
  failing = 'afterTransactionCommit'
  t.equal((await post('/')).status, 200)
  t.strictSame(await titles(), [failing])
  t.match(log, [{ level: 50, msg: 'POST /: a subscriber to afterTransactionCommit has failed', err: { message: failing } }])
  for (failing of EVENTS.slice(4)) {
    log.length = 0
    t.match(await (await post('/fail')).json(), { message: 'no' })
    t.match(log[0], { msg: `POST /fail: a subscriber to ${failing} has failed` })
    t.strictSame(await titles(), ['afterTransactionCommit'])
    t.equal(taken(), 0)
  }
})
