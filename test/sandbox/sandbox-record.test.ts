import { hasSubscribers } from 'node:diagnostics_channel'
import { afterCommit, afterRollback, beforeCommit, em, runInContext } from '../../index.ts'
import { createSandbox } from '../../testing.ts'
import { Author, Book, onEveryEngine, onEachPool, onSqlite } from '../support/databases.ts'
import { startServer } from '../support/server.ts'

const mail = (): void => {}

onEveryEngine('a sandbox tells what its contexts have sent, how they have ended, and which hooks have run', async (t, { orm }) => {
  const { app } = await startServer(t, { orm }, app => {
    app.get('/untouched', async () => 'ok')
    app.get('/books', async () => {
      for (const author of await em().find(Author, {})) await em().count(Book, { author })
    })
    app.post('/books', async request => {
      beforeCommit(function check () {})
      afterCommit(mail)
      afterRollback(function undo () {})
      em().create(Book, { title: (request.body as any).title })
    })
  })
  await using sandbox = await createSandbox(orm)
  for (const name of ['Jane', 'Mary', 'Ann']) sandbox.em.create(Author, { name })
  await sandbox.run(async () => {
    await app.inject('/untouched')
    await app.inject('/books')
    await app.inject({ method: 'POST', url: '/books', payload: { title: 'Emma' } })
    await app.inject({ method: 'POST', url: '/books', payload: { title: 'Emma' } })
  })
  const [read, added, refused] = sandbox.contexts
  t.equal(sandbox.contexts.length, 3, 'one that uses no database is not among them, nor is sandbox.em')
  t.match(read, { kind: 'request', method: 'GET', route: '/books', outcome: 'committed', ending: 'reply', reads: 4, writes: 0, flushes: 0, attempts: 1, hooks: [] })
  t.equal(read!.statements.filter(({ kind }) => kind === 'read').length, 4, 'N+1')
  t.match(added, { outcome: 'committed', writes: 1, flushes: 1, error: undefined })
  t.strictSame(added!.hooks.map(({ hook, function: name }) => `${hook} ${name}`), ['beforeCommit check', 'afterCommit mail'])
  t.match(refused, { outcome: 'rolledBack', ending: 'error', error: { name: 'UniqueConstraintViolationException' } })
  t.strictSame(refused!.hooks.map(({ hook }) => hook), ['afterRollback'])
  t.strictSame(sandbox.statements.filter(({ kind }) => kind === 'write').map(({ context: { id } }) => id), [added!.id, refused!.id])
  t.strictSame(sandbox.statements, sandbox.contexts.flatMap(({ statements }) => statements))
})

onEachPool('each sandbox tells of its own contexts, and not of those beside it or after its end', async (t, { orm, another }) => {
  const outer = await createSandbox(orm)
  const other = await createSandbox(await another())
  const add = (name: string): Promise<void> => runInContext({ orm, name }, async () => { await em().insert(Book, { title: name }) })
  await Promise.all([outer.run(() => add('outer')), other.rollback()])
  await add('beside')
  const inner = await outer.run(() => createSandbox(orm))
  await outer.run(() => inner.run(() => add('inner')))
  t.strictSame([outer, inner, other].map(({ contexts }) => contexts.map(({ name }) => name)), [['outer'], ['inner'], []])
  await inner.rollback()
  await outer.rollback()
  t.equal(outer.statements.length, 3)
  t.equal(outer.contexts[0]!.outcome, 'committed')
  t.notOk(hasSubscribers('fastify-context-orm:statement'))
})

onEachPool('a context that still runs has no outcome, and one that uses two databases tells their sums', async (t, { orm, another }) => {
  const second = await another({ contextName: 'second' })
  await using sandbox = await createSandbox([orm, second])
  await sandbox.run(() => runInContext({ orm: [orm, second] }, async () => {
    await em().insert(Book, { title: 'Emma' })
    await em('second').insert(Book, { title: 'Persuasion' })
    await em('second').count(Book)
    t.match(sandbox.contexts, [{ outcome: undefined, ending: undefined, reads: 0 }])
  }))
  t.match(sandbox.contexts, [{ outcome: 'committed', ending: 'return', reads: 1, writes: 2 }])
  t.equal(sandbox.contexts.length, 1)
})

onSqlite('a sandbox that does not begin listens to nothing', async (t, { orm }) => {
  await using sandbox = await createSandbox(orm)
  await t.rejects(createSandbox(orm), { code: 'FST_ORM_SANDBOX_TAKEN' })
  await sandbox.rollback()
  t.notOk(hasSubscribers('fastify-context-orm:statement'))
})
