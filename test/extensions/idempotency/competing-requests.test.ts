import { randomUUID } from 'node:crypto'
import { setTimeout } from 'node:timers/promises'
import type { SqlEntityManager } from '@mikro-orm/sql'
import { em, runInContext } from '../../../index.ts'
import { Book, onEachDatabase, onEachPool, onEveryEngine, onPostgres, onSqlite, type TestDatabase } from '../../support/databases.ts'
import { isBlocked, untilOne } from '../../support/server-connections.ts'
import { until } from '../../support/until.ts'
import { ONCE, startKeyedServer, startKeyedServers, withKeys, type Answer, type KeyedServer } from './keyed-server.ts'

/** How often: `TEST_KEY_PAIRS=1000 npm test -- test/extensions/idempotency/competing-requests.test.ts`. */
const PAIRS = Number(process.env.TEST_KEY_PAIRS ?? 100)

/** Otherwise, a second server would wait for the connection of the first. */
function hasPool ({ kind }: TestDatabase): boolean {
  return kind === 'postgresql' || kind === 'mariadb'
}

function countStatuses (answers: Answer[]): Record<number, number> {
  const counts: Record<number, number> = {}
  for (const { status } of answers) counts[status] = (counts[status] ?? 0) + 1
  return counts
}

for (const pool of [1, 2, 5]) {
  const on: typeof onEveryEngine = pool === 1 ? onEveryEngine : onEachPool
  on(`of 50 at once on a pool of ${pool}, one does the work, also if it needs a second connection`, async (t, database) => {
    const orm = await withKeys(database, { pool: { min: 0, max: pool } })
    const gate = Promise.withResolvers<void>()
    let handled = 0
    const { post } = await startKeyedServer(t, { orm, keys: { wait: 30_000 } }, app => {
      app.post('/', { config: ONCE }, async () => {
        handled++
        await gate.promise
        if (pool > 1) await runInContext(() => em().insert(Book, { title: 'branch' }))
        return em().create(Book, { title: 'Emma' })
      })
    })
    const key = randomUUID()
    const sent = Array.from({ length: 50 }, () => post('/', key))
    await until(() => handled === 1)
    gate.resolve()
    const answers = await Promise.all(sent)
    t.strictSame(countStatuses(answers), { 200: 50 })
    t.equal(handled, 1)
    t.equal(new Set(answers.map(({ body }) => body)).size, 1)
    t.equal(answers.filter(({ headers }) => headers.get('idempotency-replayed') === 'true').length, 49)
    t.strictSame(await database.titles(), pool > 1 ? ['Emma', 'branch'] : ['Emma'])
  })
}

onEveryEngine(`two at once with one key, ${PAIRS} times: one does the work`, async (t, database) => {
  const servers = await startKeyedServers(t, database, hasPool(database) ? 2 : 1, app => {
    app.post('/', { config: ONCE }, async request => em().create(Book, request.body as any))
  })
  const counts = { claimed: 0, replayed: 0 }
  for (let i = 0; i < PAIRS; i++) {
    const title = `${i}`
    const answers = await Promise.all([servers[0]!, servers[i % servers.length]!].map(({ post }) => post('/', title, { title })))
    const [one, other] = answers as [Answer, Answer]
    for (const { headers } of answers) counts[headers.get('idempotency-replayed') === 'true' ? 'replayed' : 'claimed']++
    if (one.status !== 200 || other.status !== 200 || one.body !== other.body) t.fail(`${i}: ${one.status} ${one.body}, ${other.status} ${other.body}`)
  }
  t.strictSame(counts, { claimed: PAIRS, replayed: PAIRS })
  t.equal((await database.titles()).length, PAIRS)
})

onEachPool('two servers on one database: the second request waits for the first, and replays its reply', async (t, database) => {
  const gate = Promise.withResolvers<void>()
  const servers = await startKeyedServers(t, database, 2, app => {
    app.post('/', { config: ONCE }, async () => {
      const book = em().create(Book, { title: 'Emma' })
      await em().flush()
      await gate.promise
      return book
    })
  })
  const key = randomUUID()
  const first = servers[0]!.post('/', key)
  await until(async () => database.sent.some(sql => sql.includes('insert into') && sql.includes('Emma')))
  const second = servers[1]!.post('/', key)
  const isWaiting = database.kind === 'postgresql'
    ? "select 1 from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
    : "select 1 from information_schema.processlist where db = database() and info like 'set statement innodb_lock_wait_timeout%'"
  await until(async () => (await database.observe(isWaiting)).length > 0)
  gate.resolve()
  const answers = [await first, await second]
  t.strictSame(answers.map(({ status }) => status), [200, 200])
  t.equal(answers[1]!.body, answers[0]!.body)
  t.equal(answers[1]!.headers.get('idempotency-replayed'), 'true')
  t.strictSame(await database.titles(), ['Emma'])
})

onEachPool('when the first one rolls back, the one that waits does the work', async (t, database) => {
  const gate = Promise.withResolvers<void>()
  let handled = 0
  const servers = await startKeyedServers(t, database, 2, app => {
    app.post('/', { config: ONCE }, async () => {
      const book = em().create(Book, { title: 'Emma' })
      await em().flush()
      if (++handled > 1) return book
      await gate.promise
      throw new Error('no')
    })
  })
  const key = randomUUID()
  const first = servers[0]!.post('/', key)
  await until(() => handled === 1)
  const others = [servers[1]!.post('/', key), servers[0]!.post('/', key)]
  gate.resolve()
  t.equal((await first).status, 500)
  t.strictSame((await Promise.all(others)).map(({ status }) => status), [200, 200])
  t.equal(handled, 2)
  t.strictSame(await database.titles(), ['Emma'])
})

onEachDatabase('who has waited for long enough gets 409, with Retry-After, and its connection is well', async (t, database) => {
  const gate = Promise.withResolvers<void>()
  let handled = 0
  const count = database.kind === 'sqlite' ? 1 : 2
  const servers = await startKeyedServers(t, database, count, app => {
    app.post('/', { config: { idempotency: { wait: 50 } } }, async () => {
      const title = `${++handled}`
      if (handled === 1) await gate.promise
      return em().create(Book, { title })
    })
    app.post('/lock-timeout', async () => (em() as SqlEntityManager).execute(database.kind === 'postgresql' ? 'show lock_timeout' : 'select @@innodb_lock_wait_timeout as t'))
  }, { pool: { min: 0, max: 1 } })
  const key = randomUUID()
  const first = servers[0]!.post('/', key)
  await until(() => handled === 1)
  for (const { post } of servers) {
    const refused = await post('/', key)
    t.equal(refused.status, 409)
    t.match(refused.json, { code: 'FST_ORM_IDEMPOTENCY_IN_PROGRESS', message: /^POST \/ with this key is still running/ })
    t.equal(refused.headers.get('retry-after'), '1')
    t.match(refused.headers.get('link'), /^<https:.*>; rel="describedby"; type="text\/html"$/)
  }
  gate.resolve()
  t.equal((await first).status, 200)
  for (const { post } of servers) {
    if (count === 2) t.match((await post('/lock-timeout')).body, /"0"|:50}/)
    t.equal((await post('/', key)).headers.get('idempotency-replayed'), 'true')
    t.equal((await post('/', randomUUID())).status, 200)
  }
  t.equal(handled, 1 + count)
})

onSqlite('two servers on one file, which is locked as a whole: the second request is told to come again', async (t, database) => {
  const gate = Promise.withResolvers<void>()
  let handled = 0
  const servers = await startKeyedServers(t, database, 2, app => {
    app.post('/', { config: ONCE }, async () => {
      const title = `${++handled}`
      await gate.promise
      return em().create(Book, { title })
    })
  })
  for (const { app } of servers) await (app.orm.em.fork() as unknown as SqlEntityManager).execute('pragma busy_timeout = 20')
  const first = servers[0]!.post('/', 'a')
  await until(() => handled === 1)
  const refused = await servers[1]!.post('/', 'a')
  t.match(refused, { status: 409, json: { code: 'FST_ORM_IDEMPOTENCY_IN_PROGRESS' } })
  t.equal(refused.headers.get('retry-after'), '1')
  gate.resolve()
  t.equal((await first).status, 200)
  t.equal((await servers[1]!.post('/', 'a')).body, (await first).body)
  t.equal(handled, 1)
})

onPostgres('under repeatable read as well, whoever is second replays', async (t, database) => {
  const gate = Promise.withResolvers<void>()
  let handled = 0
  const servers = await startKeyedServers(t, database, 2, app => {
    app.post('/', { config: { idempotency: true, orm: { isolationLevel: 'repeatable read' } } }, async () => {
      handled++
      await gate.promise
      return em().create(Book, { title: 'Emma' })
    })
  })
  const key = randomUUID()
  const first = servers[0]!.post('/', key)
  await until(() => handled === 1)
  const second = servers[1]!.post('/', key)
  await until(async () => (await database.observe("select 1 from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()")).length === 1)
  gate.resolve()
  t.equal((await first).status, 200)
  t.match(await second, { status: 200, body: (await first).body })
  t.equal((await servers[1]!.post('/', key)).body, (await first).body)
  t.equal(handled, 1)
})

onPostgres('what the transaction had for a lock timeout, it has again in the handler', async (t, database) => {
  const orm = await withKeys(database, { driverOptions: { options: '-c lock_timeout=1234' } })
  const { post } = await startKeyedServer(t, { orm }, app => {
    app.post('/', { config: ONCE }, async () => (em() as SqlEntityManager).execute('show lock_timeout'))
  })
  t.match((await post('/', 'a')).body, /1234ms/)
})

onEachPool('an old key that two servers get at once is used anew by one of them, and nobody gets its old reply', async (t, database) => {
  const servers = await startKeyedServers(t, database, 2, app => {
    app.post('/', { config: ONCE }, async () => {
      const book = em().create(Book, { title: randomUUID() })
      await em().flush()
      await setTimeout(20)
      return book
    })
  })
  for (let i = 0; i < PAIRS / 5; i++) {
    const old = await servers[0]!.post('/', `${i}`)
    await database.observe('update idempotency_key set expires_at = 1')
    const answers = await Promise.all(servers.map(({ post }) => post('/', `${i}`)))
    const replies = answers.filter(({ status }) => status === 200).map(({ body }) => body)
    t.ok(replies.length > 0 && replies.every(body => body !== old.body && body === replies[0]), `${i}: ${old.body} ${answers.map(({ status, body }) => `${status} ${body}`).join()}`)
  }
})

onPostgres('where a replay has to begin anew, what hooks have written is not lost: the client is to send the request again', async (t, database) => {
  const servers: KeyedServer[] = []
  const inserted = Promise.withResolvers<void>()
  const gate = Promise.withResolvers<void>()
  while (servers.length < 2) {
    servers.push(await startKeyedServer(t, { orm: await withKeys(database) }, app => {
      const config = { idempotency: true, orm: { isolationLevel: 'serializable' } } as const
      app.post('/', { config, preHandler: async () => { await em().insert(Book, { title: `hook ${randomUUID()}` }) } }, async () => {
        inserted.resolve()
        await gate.promise
        return em().create(Book, { title: 'Emma' })
      })
    }))
  }
  const first = servers[0]!.post('/', 'a')
  await inserted.promise
  const second = servers[1]!.post('/', 'a')
  await untilOne(database, isBlocked)
  gate.resolve()
  t.equal((await first).status, 200)
  t.match(await second, { status: 409, json: { code: 'FST_ORM_IDEMPOTENCY_IN_PROGRESS' } })
  t.equal((await servers[1]!.post('/', 'a')).body, (await first).body)
  t.equal((await database.titles()).filter(title => title.startsWith('hook')).length, 2)
})
