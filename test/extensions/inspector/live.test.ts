import { EventSource } from 'eventsource'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'
import { em } from '../../../index.ts'
import type { DescribedContext, DescribedPool } from '../../../inspector.ts'
import { Book, onEachDatabase } from '../../support/databases.ts'
import { startInspected, type InspectedServer } from './inspected-server.ts'

interface LiveEvent {
  contexts: DescribedContext[]
  pools: DescribedPool[]
}

/** Each event as it comes. */
async function * watch (t: Test, { app }: InspectedServer): AsyncGenerator<LiveEvent, never> {
  const { port } = app.server.address() as AddressInfo
  const source = new EventSource(`http://127.0.0.1:${port}/_orm/live`)
  t.teardown(() => source.close())
  const waiting: LiveEvent[] = []
  source.addEventListener('message', ({ data }) => { waiting.push(JSON.parse(data)) })
  for (;;) {
    while (waiting.length > 0) yield waiting.shift()!
    await once(source as unknown as EventTarget, 'message')
  }
}

onEachDatabase('a page gets what there is, and then only what has changed, a few times a second', async (t, { orm }) => {
  const server = await startInspected(t, orm, app => {
    app.get('/books', async () => await em().find(Book, {}))
    app.post('/books', async () => { await em().insert(Book, { title: 'Emma' }); return 'ok' })
  })
  await (await server.get('/books')).text()
  const events = watch(t, server)
  const first = await events.next()
  t.strictSame(first.value, { contexts: [], pools: [] }, 'at once, so that the page knows that it is connected')
  const next = async (): Promise<LiveEvent> => (await events.next()).value
  t.match(await next(), { contexts: [{ route: '/books', method: 'GET', outcome: 'committed' }], pools: [{ database: 'default', held: 0, waiting: 0, holders: [] }] })

  const started = performance.now()
  for (let i = 0; i < 20; i++) await (await server.get('/books')).text()
  await (await server.post('/books')).text()
  const got = new Map<number, DescribedContext>()
  let count = 0
  while (![...got.values()].some(({ method, state }) => method === 'POST' && state === 'ended')) {
    for (const context of (await next()).contexts) got.set(context.id, context)
    count++
  }
  t.equal(got.size, 21)
  t.ok(count <= (performance.now() - started) / 240 + 1, `${count} events`)
})

onEachDatabase('a transaction that is open shows who holds the connection, and since when', async (t, { orm }) => {
  const { promise, resolve } = Promise.withResolvers<void>()
  const server = await startInspected(t, orm, app => {
    app.post('/books', async () => {
      await em().insert(Book, { title: 'Emma' })
      await promise
      return 'ok'
    })
  })
  const events = watch(t, server)
  const response = server.post('/books')
  for await (const { contexts, pools } of events) {
    if (pools[0]?.holders[0]?.line === undefined) continue
    t.match(contexts, [{ route: '/books', state: 'held', isHolding: true, outcome: undefined }])
    t.match(pools[0], { held: 1, holders: [{ context: contexts[0]!.id, label: 'POST /books', sql: /^insert into/, line: /live\.test\.ts:\d+:\d+$/, heldMs: Number }] })
    break
  }
  resolve()
  await (await response).text()
})

onEachDatabase('the app closes while pages watch, and pages that have gone cost nothing', async (t, { orm }) => {
  const server = await startInspected(t, orm, () => {})
  const aborting = new AbortController()
  const { port } = server.app.server.address() as AddressInfo
  const gone = await fetch(`http://127.0.0.1:${port}/_orm/live`, { signal: aborting.signal })
  t.match(Object.fromEntries(gone.headers), { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
  aborting.abort()
  const stays = await server.get('/_orm/live')
  const read = stays.text()
  await server.app.close()
  t.match(await read, /^retry: 1000\n\ndata: /)
})
