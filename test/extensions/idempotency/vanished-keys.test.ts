import { DeadlockException } from '@mikro-orm/core'
import type { Test } from 'tap'
import { em, rollback, switchable } from '../../../index.ts'
import { Keys } from '../../../lib/extensions/idempotency/keys.ts'
import { Book, onPostgres, onSqlite } from '../../support/databases.ts'
import { isBlocked, untilOne } from '../../support/server-connections.ts'
import { ONCE, startKeyedServer, startKeyedServers, withKeys } from './keyed-server.ts'

/** Stands for what another process does to the table at that moment. */
function instead<Name extends 'insert' | 'insertKept' | 'takeOver'> (t: Test, name: Name, run: Keys[Name]): void {
  const original = Keys.prototype[name]
  Keys.prototype[name] = run
  t.teardown(() => { Keys.prototype[name] = original })
}

for (const [when, insert] of [
  ['between the insert and the look', async () => false],
  ['while it was waited for', async () => { throw new DeadlockException(new Error('a deadlock')) }]
] as Array<[string, Keys['insert']]>) {
  onSqlite(`a key that has gone ${when} is one in progress`, async (t, database) => {
    instead(t, 'insert', insert)
    const { post } = await startKeyedServer(t, { orm: await withKeys(database) }, app => {
      app.post('/', { config: ONCE }, async () => em().create(Book, { title: 'Emma' }))
    })
    t.match(await post('/', 'a'), { status: 409, json: { code: 'FST_ORM_IDEMPOTENCY_IN_PROGRESS' } })
    t.strictSame(await database.titles(), [])
  })
}

onSqlite('a key that cannot be put back after a rollback by hand fails the request', async (t, database) => {
  instead(t, 'insertKept', async () => { throw new Error('the table is full') })
  const { post } = await startKeyedServer(t, { orm: await withKeys(database) }, app => {
    app.post('/', { config: ONCE }, async () => {
      await rollback()
      return em().create(Book, { title: 'Emma' })
    })
  })
  t.match(await post('/', 'a'), { status: 500, json: { message: 'the table is full' } })
  t.strictSame(await database.titles(), [])
})

onPostgres('an old key that another process has just taken over is looked at again', async (t, database) => {
  const { post } = await startKeyedServer(t, { orm: await withKeys(database) }, app => {
    app.post('/', { config: ONCE }, async () => em().create(Book, { title: 'Emma' }))
  })
  const first = await post('/', 'a')
  await database.observe('update idempotency_key set expires_at = 1 returning id')
  instead(t, 'takeOver', async () => false)
  t.equal((await post('/', 'a')).body, first.body)
})

onSqlite('a database that moves may keep the keys, and what is no database may not', async (t, database) => {
  const orm = await withKeys(database)
  const handle = await switchable(() => orm, 'here')
  const { post } = await startKeyedServer(t, { orm: handle, keys: { orm: handle as never } }, app => {
    app.post('/', { config: ONCE }, async () => em().create(Book, { title: 'Emma' }))
  })
  t.equal((await post('/', 'a')).body, (await post('/', 'a')).body)
  for (const bad of [{}, { config: {} }, { orm: {} }, 5]) {
    await t.rejects(startKeyedServer(t, { orm, keys: { orm: bad as never } }, () => {}), { code: 'FST_ORM_BAD_OPTION' })
  }
})

onPostgres('of two that take over an old key, the second replays the reply of the first', async (t, database) => {
  const gate = Promise.withResolvers<void>()
  const began = Promise.withResolvers<void>()
  let handled = 0
  const servers = await startKeyedServers(t, database, 2, app => {
    app.post('/', { config: ONCE }, async () => {
      const book = em().create(Book, { title: `${++handled}` })
      if (handled === 2) {
        began.resolve()
        await gate.promise
      }
      return book
    })
  })
  await servers[0]!.post('/', 'a')
  await database.observe('update idempotency_key set expires_at = 1 returning id')
  const first = servers[0]!.post('/', 'a')
  await began.promise
  const second = servers[1]!.post('/', 'a')
  await untilOne(database, isBlocked)
  gate.resolve()
  t.strictSame((await second).body, (await first).body)
  t.equal(handled, 2)
  t.strictSame(await database.titles(), ['1', '2'])
})
