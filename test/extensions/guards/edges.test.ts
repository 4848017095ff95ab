import { AsyncResource } from 'node:async_hooks'
import { once } from 'node:events'
import { request as httpRequest } from 'node:http'
import t from 'tap'
import { em, runInContext } from '../../../index.ts'
import { startGuards } from '../../../guards.ts'
import { describeBeginning } from '../../../lib/extensions/guards/beginnings.ts'
import { at } from '../../../lib/extensions/guards/findings.ts'
import { Author, Book, onSqlite } from '../../support/databases.ts'
import { startGuarded, startRemote, told } from './guarded-server.ts'

const outside = AsyncResource.bind((fn: () => Promise<unknown>): Promise<unknown> => fn())

onSqlite('a request without a route, and a call to what is no URL, are named all the same', async (t, { orm }) => {
  const { hostname, port } = new URL(await startRemote(t))
  const server = await startGuarded(t, orm, { outgoingCalls: 'warn' }, app => {
    app.setNotFoundHandler(async () => {
      await em().insert(Book, { title: 'Emma' })
      const [response] = await once(httpRequest({ hostname, port, path: '//', setHost: false, headers: { connection: 'close' } }).end(), 'response')
      response.resume()
      return 'nothing'
    })
  })
  await server.post('/nowhere')
  t.match(told(server), [/POST \(no route found\) calls GET \(an unknown address\) at /])
})

onSqlite('guards that start in the midst of a transaction do not know what began it', async (t, { orm }) => {
  const remote = await startRemote(t)
  await t.rejects(runInContext({ orm, name: 'job' }, async () => {
    await em().insert(Book, { title: 'Emma' })
    t.teardown(startGuards({ outgoingCalls: 'error' }))
    await fetch(remote)
  }), { message: /begun before the guards were there/ })
})

onSqlite('a context that has ended by the time cannot fail any more, and what is of another database is none of its business', async (t, { orm, another }) => {
  const other = await another({ contextName: 'other' })
  t.teardown(startGuards({ foreignEntities: 'error', lostEntities: 'error' }))
  await orm.em.fork().insert(Author, { name: 'Jane Austen' })
  const leaked = await runInContext({ orm, name: 'leak' }, () => em().findOneOrFail(Author, { name: 'Jane Austen' }))
  await runInContext({ orm, name: 'use' }, async () => {
    const fork = other.em.fork()
    fork.create(Author, { name: 'Iris Murdoch' })
    fork.persist(leaked)
    t.doesNotThrow(() => orm.em.fork().persist(leaked), 'nor is a fork of the user')
  })
})

onSqlite('what another context is asked for from outside of it is told, and does not fail it', async (t, { orm }) => {
  const warnings: Error[] = []
  const note = (warning: Error): void => { warnings.push(warning) }
  process.on('warning', note)
  t.teardown(() => process.off('warning', note))
  t.teardown(startGuards({ foreignEntities: 'warn', repeatedStatements: 'error', maxRepeats: 1 }))
  await runInContext({ orm, name: 'outer' }, async () => {
    const outer = em()
    await runInContext({ name: 'inner' }, async () => {
      for (const id of [1, 2]) await outer.count(Book, { id })
    })
    await outside(() => outer.count(Book)) // in no context at all
  })
  await new Promise(resolve => setImmediate(resolve))
  const messages = warnings.map(({ message }) => message)
  t.match(messages.find(message => message.includes('repeatedStatements')), /outer sends the same statement more than 1 times, at .*edges\.test\.ts/)
  t.match(messages.find(message => message.includes('foreignEntities')), /inner uses an entity of outer, or its EntityManager, at .*edges\.test\.ts/)
})

t.test('what is not known is said to be unknown', async t => {
  t.equal(at(undefined), 'at a line out of sight')
  t.equal(describeBeginning({ line: '/a.ts:1:2', sql: undefined } as any), 'begun at /a.ts:1:2')
})
