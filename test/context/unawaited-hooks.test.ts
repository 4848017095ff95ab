import Fastify from 'fastify'
import contextOrm, { afterCommit, commit, context, em, runInContext, type ContextView } from '../../index.ts'
import { TransactionPropagation } from '@mikro-orm/core'
import { Book, onEachDatabase, onEachPool, onEveryEngine } from '../support/databases.ts'
import { collect } from '../support/events.ts'
import { startServer } from '../support/server.ts'
import { until } from '../support/until.ts'

onEveryEngine('the reply does not wait for it, and it reads and opens contexts as any other does', async (t, { orm, titles }) => {
  const go = Promise.withResolvers<void>()
  const done = Promise.withResolvers<number>()
  let view: ContextView | undefined
  const { post } = await startServer(t, { orm }, app => {
    app.post('/', async () => {
      view = context()
      await em().insert(Book, { title: 'Emma' })
      afterCommit(async () => {
        await go.promise
        await runInContext(async () => { em().create(Book, { title: 'mail' }) })
        const count = await em().count(Book)
        await em().insert(Book, { title: 'too late' }).catch(error => t.match(error, { code: 'FST_ORM_CONTEXT_ENDED' }))
        done.resolve(count)
      }, { wait: false })
      return 'ok'
    })
  })
  t.equal(await (await post('/')).text(), 'ok')
  t.strictSame(await titles(), ['Emma'])
  t.match(view, { state: 'settling' })
  go.resolve()
  t.equal(await done.promise, 2)
  await until(() => view!.state === 'ended')
  t.strictSame(await titles(), ['Emma', 'mail'])
})

onEachDatabase('what it throws is logged and published, and nobody else hears of it', async (t, { orm }) => {
  const failed = collect(t, 'fastify-context-orm:failed')
  const { post, log } = await startServer(t, { orm }, app => {
    app.post('/', async () => {
      afterCommit(() => { throw new Error('at once') }, { wait: false })
      afterCommit(async () => { await em().count(Book); throw new Error('later') }, { wait: false })
      return 'ok'
    })
  })
  t.equal((await post('/')).status, 200)
  await until(() => failed.length === 2)
  t.match(failed, ['at once', 'later'].map(message => ({ route: '/', message: 'POST /: an afterCommit hook has failed', error: { message } })))
  t.match(log, ['at once', 'later'].map(message => ({ level: 50, msg: 'POST /: an afterCommit hook has failed', err: { message } })))
})

onEachDatabase('it does not run when nothing is committed', async (t, { orm }) => {
  let hasRun = false
  await t.rejects(runInContext({ orm }, async () => {
    await em().insert(Book, { title: 'Emma' })
    afterCommit(() => { hasRun = true }, { wait: false })
    throw new Error('no')
  }))
  t.notOk(hasRun)
})

/** Each registers the hook in its own way, and ends. */
const WAYS: Record<string, (hook: () => unknown) => Promise<unknown>> = {
  'a job': hook => runInContext(async () => { afterCommit(hook, { wait: false }) }),
  'a job that is run again': async hook => {
    let attempts = 0
    await runInContext({ retry: { attempts: 2, when: () => true } }, async () => {
      if (++attempts === 1) throw new Error('again')
      afterCommit(hook, { wait: false })
    })
  },
  'commit()': async hook => {
    afterCommit(hook, { wait: false })
    await commit()
  },
  'the end': async hook => { afterCommit(hook, { wait: false }) }
}

onEachDatabase('closing the app waits for it, and what is running may still open contexts', async (t, { another }) => {
  for (const [way, register] of Object.entries(WAYS)) {
    const orm = await another()
    const app = Fastify()
    await app.register(contextOrm, { orm: () => orm })
    const go = Promise.withResolvers<void>()
    let counted: number | undefined
    await runInContext({ orm }, async () => {
      await register(async () => {
        await go.promise
        counted = await runInContext(() => em().count(Book))
      })
    })
    let hasClosed = false
    const closed = app.close().then(() => { hasClosed = true })
    await t.rejects(until(async () => { await runInContext({ orm }, () => {}); return hasClosed }), { code: 'FST_ORM_CLOSING' })
    t.notOk(hasClosed, way)
    go.resolve()
    await closed
    t.equal(counted, 0, way)
  }
})

onEachDatabase('it is waited for no longer than closeTimeout', async (t, { orm }) => {
  const never = Promise.withResolvers<void>()
  const { app, post, log } = await startServer(t, { orm, closeTimeout: 10 }, app => {
    app.post('/', async (_request, reply) => {
      reply.header('connection', 'close')
      afterCommit(() => never.promise, { wait: false })
      return 'ok'
    })
  })
  const warned = new Promise(resolve => process.once('warning', resolve))
  await (await post('/')).text()
  await app.close()
  t.match(log, [{ level: 40, msg: /^POST \/ was still running 10 ms after app\.close\(\)/ }])
  t.match(await warned, { message: 'POST / is still running, and is not waited for any longer' })
  never.resolve()
})

onEachPool('inside REQUIRES_NEW, it belongs to that transaction', async (t, { orm }) => {
  const ran: string[] = []
  await t.rejects(runInContext({ orm }, async () => {
    await em().transactional(async inner => {
      await inner.insert(Book, { title: 'Emma' })
      afterCommit(() => { ran.push('inner') }, { wait: false })
    }, { propagation: TransactionPropagation.REQUIRES_NEW })
    afterCommit(() => { ran.push('outer') }, { wait: false })
    throw new Error('no')
  }))
  t.strictSame(ran, ['inner'])
})

onEachDatabase('options are checked', async (t, { orm }) => {
  await runInContext({ orm }, () => {
    t.throws(() => afterCommit(() => {}, { wait: 'no' } as any), { code: 'FST_ORM_BAD_OPTION', message: /afterCommit\(\).*wait/ })
    t.throws(() => afterCommit(() => {}, { waits: false } as any), { code: 'FST_ORM_BAD_OPTION' })
    t.throws(() => afterCommit(() => {}, 5 as any), { code: 'FST_ORM_BAD_OPTION' })
  })
})
