import { afterCommit, afterRollback, atomic, beforeCommit, commit, em, rollback, runInContext } from '../../index.ts'
import { Book, onEachDatabase, onEachPool } from '../support/databases.ts'
import { delayCommits, isCommitting } from '../support/delayed-commits.ts'
import { refuseCommits } from '../support/refused-commits.ts'
import { untilOne } from '../support/server-connections.ts'
import { startServer } from '../support/server.ts'
import { until } from '../support/until.ts'

function note (ran: string[]): void {
  afterCommit(() => { ran.push('afterCommit') })
  afterRollback(() => { ran.push('afterRollback') })
}

const review = (): Promise<unknown> => (em() as any).execute('insert into review (book_id) values (99)')

onEachDatabase('whoever waits for a commit that fails, fails with it', async (t, database) => {
  const { orm, titles, taken } = database
  const { status } = await refuseCommits(database)
  const before = taken()
  const ran: string[] = []
  const { post } = await startServer(t, { orm }, app => {
    app.post('/two-commits', async () => {
      await review()
      note(ran)
      const [first, second] = await Promise.allSettled([commit(), commit()])
      t.match([first, second], [{ status: 'rejected' }, { status: 'rejected' }])
      return 'ok'
    })
    app.post('/not-awaited', async () => {
      await review()
      note(ran)
      commit().catch(() => {})
      return 'ok'
    })
    app.post('/not-awaited-and-later', async () => {
      await review()
      note(ran)
      const commitLater = async (): Promise<void> => {
        for (let i = 0; i < 200; i++) await undefined // until the reply is on its way
        await commit()
      }
      commitLater().catch(() => {})
      return 'ok'
    })
    app.post('/after-the-reply', async (_request, reply) => {
      await review()
      note(ran)
      reply.send('ok')
      await commit().catch(() => {})
    })
    app.post('/awaited', async () => {
      await review()
      note(ran)
      await commit().catch(() => {})
      em().create(Book, { title: 'goes on' })
      return { ok: true }
    })
  })
  t.equal((await post('/two-commits')).status, 200, 'both were told, and what follows is empty')
  t.strictSame(ran, ['afterRollback'])
  for (const path of ['/not-awaited', '/not-awaited-and-later', '/after-the-reply']) {
    ran.length = 0
    t.equal((await post(path)).status, status, path)
    t.strictSame(ran, ['afterRollback'], path)
  }
  t.equal((await post('/awaited')).status, 200)
  t.strictSame(await titles(), ['goes on'])
  t.equal(taken(), before)
})

onEachDatabase('commit() and rollback() at once follow one another, and hooks go with what they were registered for', async (t, { orm, titles }) => {
  const ran: string[] = []
  await runInContext({ orm }, async () => {
    em().create(Book, { title: 'committed' })
    note(ran)
    await Promise.all([commit(), rollback()])
    t.strictSame(ran, ['afterCommit'])
    em().create(Book, { title: 'rolled back' })
    note(ran)
    await Promise.all([rollback(), commit()])
    t.strictSame(ran, ['afterCommit', 'afterRollback'])
  })
  t.strictSame(await titles(), ['committed'])
})

onEachPool('an abort while commit() is on its way leaves its hooks to it', async (t, database) => {
  const { orm, titles } = database
  const ran: string[] = []
  const controller = new AbortController()
  const release = await delayCommits(database, 'kept')
  const running = runInContext({ orm, signal: controller.signal }, async () => {
    em().create(Book, { title: 'kept' })
    note(ran)
    await commit()
    ran.push('returned')
    await new Promise(() => {})
  })
  const aborted = t.rejects(running, { name: 'AbortError' })
  await untilOne(database, isCommitting)
  controller.abort()
  await release()
  await aborted
  await until(() => ran.length === 2)
  t.strictSame(ran, ['afterCommit', 'returned'])
  t.strictSame(await titles(), ['kept'])
})

onEachDatabase('an em.transactional() that begins while a commit is being prepared waits for it', async (t, { orm, titles }) => {
  await runInContext({ orm }, async () => {
    await em().insert(Book, { title: 'before' })
    const preparing = Promise.withResolvers<void>()
    const go = Promise.withResolvers<void>()
    beforeCommit(async () => {
      preparing.resolve()
      await go.promise
    })
    const committing = commit()
    await preparing.promise
    const beside = em().transactional(async inner => {
      await inner.insert(Book, { title: 'beside' })
      throw new Error('no')
    }).catch(error => error.message)
    go.resolve()
    await committing
    t.equal(await beside, 'no')
  })
  t.strictSame(await titles(), ['before'])
})

onEachDatabase('a hook before the commit cannot commit, but can use em.transactional()', async (t, { orm, titles }) => {
  await runInContext({ orm, name: 'job' }, async () => {
    em().create(Book, { title: 'Emma' })
    beforeCommit(async () => {
      for (const settle of [commit, rollback, () => atomic(() => {}), () => em().commit()]) {
        await t.rejects(settle() as Promise<unknown>, { code: 'FST_ORM_TRANSACTION_OPEN', message: /^job has a transaction open: .* would end the commit that it is called in/ })
      }
      await em().transactional(async inner => { inner.create(Book, { title: 'in a hook' }) })
    })
  })
  t.strictSame(await titles(), ['Emma', 'in a hook'])
})

for (const [name, run] of [['atomic()', atomic], ['em.transactional()', (fn: () => Promise<void>) => em().transactional(fn)]] as const) {
  onEachDatabase(`an ${name} that nobody has awaited makes the context fail, instead of being committed in half`, async (t, { orm, titles, taken }) => {
    const go = Promise.withResolvers<void>()
    const left = Promise.withResolvers<unknown>()
    const { post, failure } = await startServer(t, { orm }, app => {
      app.post('/', async () => {
        const started = Promise.withResolvers<void>()
        run(async () => {
          await em().insert(Book, { title: 'half' })
          started.resolve()
          await go.promise
          await em().insert(Book, { title: 'whole' })
        }).then(left.resolve, left.resolve)
        await started.promise
        return 'ok'
      })
    })
    t.match(await failure(post('/')), { statusCode: 500, code: 'FST_ORM_TRANSACTION_OPEN', message: `the reply or return would end ${name}, which nobody has awaited` })
    go.resolve()
    t.match(await left.promise, { code: 'FST_ORM_CONTEXT_ENDED' })
    t.strictSame(await titles(), [])
    t.equal(taken(), 0)
  })
}
