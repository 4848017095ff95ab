import Fastify from 'fastify'
import { hasSubscribers } from 'node:diagnostics_channel'
import { EntityManager } from '@mikro-orm/core'
import t, { type Test } from 'tap'
import contextOrm, { afterCommit, em, runInContext } from '../../../index.ts'
import guards, { startGuards, type GuardOptions } from '../../../guards.ts'
import { Book, onSqlite } from '../../support/databases.ts'
import { startGuarded, startRemote, told } from './guarded-server.ts'

const CHANNELS = [
  'fastify-context-orm:begun', 'fastify-context-orm:statement', 'fastify-context-orm:settled', 'fastify-context-orm:failed', 'fastify-context-orm:hook',
  'undici:request:create', 'http.client.request.created', 'http.client.request.start'
]
const GUARDS = ['outgoingCalls', 'repeatedStatements', 'heldTransactions', 'foreignEntities', 'lostEntities'] as const
const { persist } = EntityManager.prototype

function assertNothingListens (t: Test, message: string): void {
  t.strictSame(CHANNELS.filter(hasSubscribers), [], message)
  t.equal(EntityManager.prototype.persist, persist, message)
}

onSqlite('guards that are off are not there, and those that are on leave nothing behind', async (t, { orm }) => {
  assertNothingListens(t, 'before')
  const off = Fastify()
  await off.register(contextOrm, { orm })
  await off.register(guards, Object.fromEntries(GUARDS.map(name => [name, 'off'])))
  await off.register(guards)
  assertNothingListens(t, 'off')
  startGuards({})()
  await off.close()
  const on = Fastify()
  await on.register(guards, Object.fromEntries(GUARDS.map(name => [name, 'warn'])))
  t.strictSame(CHANNELS.filter(name => !hasSubscribers(name)), ['fastify-context-orm:failed', 'fastify-context-orm:hook'])
  t.not(EntityManager.prototype.persist, persist)
  await on.close()
  assertNothingListens(t, 'after')
})

onSqlite('requests of another app of the process are none of its business', async (t, { orm }) => {
  const remote = await startRemote(t)
  const route = async (): Promise<string> => {
    await em().nativeUpdate(Book, { title: 'Emma' }, { stock: 1 })
    await fetch(remote)
    afterCommit(() => { em().create(Book, { title: 'lost' }) })
    return 'ok'
  }
  const one = await startGuarded(t, orm, { outgoingCalls: 'warn' }, app => { app.post('/', route) })
  const other = await startGuarded(t, orm, { outgoingCalls: 'warn', lostEntities: 'warn' }, app => { app.post('/', route) })
  await one.post('/')
  t.equal(told(one).length, 1)
  t.strictSame(other.log, [])
  await runInContext({ orm, name: 'job' }, route)
  t.match([told(one).length, told(other)[0]], [2, /job calls GET /], 'a job is of all of them')
})

t.test('wrong options are refused', async t => {
  const wrong: Array<[object, string]> = [
    [{ outgoingCalls: true }, "takes 'off', 'warn' or 'error', got true"],
    [{ allowedHosts: ['http://localhost'] }, 'takes an array of hosts'],
    [{ maxRepeats: 0 }, 'takes a whole number, 1 or more'],
    [{ maxHeldMs: 0 }, 'takes a number of milliseconds'],
    [{ unknown: 1 }, 'there are outgoingCalls, ']
  ]
  for (const [options, message] of wrong) {
    t.throws(() => startGuards(options as GuardOptions), { code: 'FST_ORM_BAD_OPTION', message: new RegExp(message) })
    await t.rejects(async () => { await Fastify().register(guards, options) }, { code: 'FST_ORM_BAD_OPTION' })
  }
})
