import { once } from 'node:events'
import type { Readable } from 'node:stream'
import t from 'tap'
import { em } from '../../../index.ts'
import { Live } from '../../../lib/extensions/inspector/live.ts'
import { readPageFiles } from '../../../lib/extensions/inspector/page-files.ts'
import { Pools } from '../../../lib/extensions/inspector/pools.ts'
import { Records } from '../../../lib/extensions/inspector/records.ts'
import { Texts } from '../../../lib/extensions/inspector/texts.ts'
import { Book, onEachPool, onPostgres } from '../../support/databases.ts'
import { here } from '../../support/events.ts'
import { until } from '../../support/until.ts'
import { startInspected } from './inspected-server.ts'
import { startOther } from './other-server.ts'

onEachPool('a starved pool: who waits, who holds the connections, and the line that began to', async (t, { another }) => {
  const { promise, resolve } = Promise.withResolvers<void>()
  let line = /never/
  const server = await startInspected(t, await another({ pool: { min: 0, max: 2 } }), app => {
    app.post('/holds/:title', async request => {
      line = here(1)
      await em().insert(Book, { title: (request.params as any).title })
      await promise
      return 'ok'
    })
    app.get('/waits', async () => await em().find(Book, {}))
  })
  const holding = ['a', 'b'].map(title => server.post(`/holds/${title}`))
  await until(async () => (await server.pools())[0]!.holders.length === 2)
  const waiting = server.get('/waits')
  await until(async () => (await server.contexts()).some(({ route, problems }) => route === '/waits' && problems.some(({ kind }) => kind === 'waited')))
  const [pool] = await server.pools()
  t.match(pool, { max: 2, held: 2, waiting: 1, reading: 0, holders: [{ label: 'POST /holds/:title', line }, { label: 'POST /holds/:title', line }] })
  t.match((await server.contexts()).at(-1), {
    route: '/waits', isWaiting: true, problems: [{ kind: 'waited', text: /^It waits for a connection, for \d+ ms by now, while POST \/holds\/:title held one for \d+ ms$/, line }]
  })

  resolve()
  for (const response of holding) await (await response).text()
  const response = await waiting
  await response.text()
  const waited = await server.contextOf(response)
  t.match(waited.problems, [{ kind: 'waited', text: /^A statement waited \d+ ms for a connection, while POST \/holds\/:title held one for/, line }])
  t.match(waited.statements, [{ kind: 'read', waitedFor: [{ label: 'POST /holds/:title', line }, { line }] }])
  t.match(await server.pools(), [{ held: 0, waiting: 0, holders: [] }])
})

onPostgres('a transaction whose first statement still runs is among those who hold a connection', async (t, { orm, sleep }) => {
  const server = await startInspected(t, orm, app => {
    app.post('/slow', async () => { await (em() as any).execute(sleep(0.7)); return 'ok' })
    app.post('/slow-after-a-read', async () => {
      await em().count(Book)
      await (em() as any).execute(sleep(0.7))
      return 'ok'
    })
  })
  for (const url of ['/slow', '/slow-after-a-read']) {
    const response = server.post(url)
    await until(async () => (await server.pools())[0]!.holders.length === 1)
    t.match(await server.pools(), [{ database: 'default', held: 1, driver: { open: 1, idle: 0, waiting: 0 }, holders: [{ label: `POST ${url}`, line: undefined }] }])
    await (await response).text()
    t.match((await server.contextOf(response)).problems, [{ kind: 'held', line: /pools\.test\.ts/ }, { kind: 'slow', line: /pools\.test\.ts/ }])
  }
})

onPostgres('of one context, 200 calls are kept', async (t, { orm }) => {
  const { url, close } = await startOther(0)
  t.teardown(close)
  const server = await startInspected(t, orm, app => {
    app.get('/calls', async () => {
      await em().count(Book)
      for (let i = 0; i < 203; i++) await (await fetch(url)).text()
      return 'ok'
    })
  })
  const response = await server.get('/calls')
  await response.text()
  const { calls, leftOut } = await server.contextOf(response)
  t.strictSame([calls.length, leftOut], [200, 3])
})

t.test('what is missing is said when the inspector is registered', async t => {
  await t.rejects(readPageFiles('/_orm', ['no-such-package']), { code: 'FST_ORM_INSPECTOR_PACKAGE', message: /no-such-package.*npm install --save-dev preact htm/ })
})

t.test('a page that does not read gets nothing more until it has', async t => {
  const records = new Records(new Texts(() => undefined, false))
  const live = new Live(records, new Pools(() => ({}), records))
  t.teardown(() => live.close())
  const slow = live.open()
  const quick = live.open()
  const read = async (stream: Readable): Promise<string> => {
    for (;;) {
      const chunk = stream.read()
      if (chunk !== null) return String(chunk)
      await once(stream, 'readable')
    }
  }
  const first = await read(quick)
  await read(quick)
  t.equal(slow.readableLength, first.length)
  t.equal(await read(slow), first)
  t.match(await read(slow), /^data: /)
})
