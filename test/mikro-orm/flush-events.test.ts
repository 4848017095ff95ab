import { TransactionPropagation, type EventSubscriber } from '@mikro-orm/core'
import type { FastifyInstance } from 'fastify'
import { atomic, beforeCommit, commit, em, rollback, runInContext } from '../../index.ts'
import { Author, Book, onEachDatabase, type Orm } from '../support/databases.ts'
import { startServer } from '../support/server.ts'

const { REQUIRES_NEW, NOT_SUPPORTED } = TransactionPropagation
const [A, B] = ['Emma', 'Persuasion']

/** How many changes each flush had that a subscriber to `onFlush` was told of. */
function listen (orm: Orm): number[] {
  const seen: number[] = []
  const subscriber: EventSubscriber = { onFlush ({ uow }) { seen.push(uow.getChangeSets().length) } }
  orm.em.getEventManager().registerSubscriber(subscriber)
  return seen
}

function create (title: string): void {
  em().create(Book, { title })
}

const WORK: Record<string, [work: () => unknown, flushes: number[]]> = {
  'work that touches no database': [() => {}, []],
  'a read': [() => em().count(Book), [0]],
  'a write': [() => create(A), [1]],
  'a write by hand': [() => em().insert(Book, { title: A }), [0]],
  'two changes': [() => [A, B].forEach(create), [2]],
  'a flush by hand': [async () => {
    create(A)
    await em().flush()
  }, [1]],
  'a flush by hand that has nothing to write, and a change': [async () => {
    await em().flush()
    create(A)
  }, [0, 1]],
  'a flush that nobody has awaited': [() => {
    create(A)
    em().flush()
  }, [1]],
  'commit()': [async () => {
    create(A)
    await commit()
  }, [1]],
  'commit() of nothing, and a change': [async () => {
    await em().count(Book)
    await commit()
    create(A)
  }, [0, 1]],
  'commit() twice': [async () => {
    create(A)
    await commit()
    create(B)
    await commit()
  }, [1, 1]],
  'rollback()': [async () => {
    create(A)
    await rollback()
  }, [0]],
  'atomic()': [() => atomic(() => create(A)), [1]],
  'em.transactional()': [() => em().transactional(() => create(A)), [1]],
  'em.transactional() with a change before and after': [async () => {
    create(A)
    await em().transactional(() => create(B))
    em().create(Author, { name: 'Jane Austen' })
  }, [1, 1, 1]],
  'em.transactional() in another one': [() => em().transactional(async () => {
    create(A)
    await em().transactional(() => create(B))
  }), [1, 1, 0]],
  'em.transactional() that does nothing': [() => em().transactional(async () => {
    await em().transactional(() => em().count(Book))
  }), [0, 0]],
  'em.transactional() that fails': [() => em().transactional(() => { throw new Error('no') }).catch(() => {}), [0]],
  'a change before the commit': [() => {
    em()
    beforeCommit(() => create(A))
  }, [1]]
}

onEachDatabase('a context tells subscribers of each flush that writes, and once if there was none', async (t, { orm, another }) => {
  const count = listen(orm)
  const quiet = await another()
  for (const [name, [work, flushes]] of Object.entries(WORK)) {
    for (const transaction of ['on-write', 'on-query'] as const) {
      await runInContext({ orm, transaction }, async () => {
        await work()
      })
      t.strictSame(count.splice(0), flushes, `${name}, ${transaction}`)
      await quiet.em.fork().nativeDelete(Book, {})
      await quiet.em.fork().nativeDelete(Author, {})
    }
  }
  await runInContext({ orm, transaction: false }, () => em().transactional(() => create(A)))
  t.strictSame(count.splice(0), [1], 'without a transaction')
})

onEachDatabase('so does a request', async (t, { orm }) => {
  const count = listen(orm)
  const routes = (app: FastifyInstance): void => {
    app.get('/', async () => em().find(Book, {}))
    app.get('/text', async () => String(await em().count(Book)))
    app.post('/', async () => em().create(Book, { title: A }))
    app.post('/fail', async () => {
      create(B)
      throw new Error('no')
    })
    app.post('/inside', async (_request, reply) => em().transactional(async () => {
      create(B)
      await em().flush()
      await reply.send('ok')
    }))
  }
  const { get, post } = await startServer(t, { orm }, routes)
  for (const path of ['/', '/text']) {
    await get(path)
    t.strictSame(count.splice(0), [0], `GET ${path}`)
  }
  t.match(await (await post('/')).json(), { title: A, id: 1 })
  t.strictSame(count.splice(0), [1])
  await post('/fail')
  t.strictSame(count.splice(0), [], 'of what is rolled back, none')
  t.equal((await post('/inside')).status, 200)
  t.strictSame(count.splice(0, 1), [1], 'a reply from inside em.transactional()')
})

onEachDatabase('of several databases, each tells its own subscribers', async (t, { orm, another }) => {
  const audit = await another({ contextName: 'audit', subscribers: [] })
  const counts = [listen(orm), listen(audit)]
  await runInContext({ orm: [orm, audit] }, async () => {
    create(A)
    await em('audit').count(Book)
  })
  t.strictSame(counts.splice(0), [[1], [0]])
})

onEachDatabase('a subscriber may write in the flush of a context that has only read', async (t, { orm, another, titles, sent }) => {
  const audit = await another({ contextName: 'audit' })
  let asked = 0
  orm.em.getEventManager().registerSubscriber({
    beforeFlush ({ em }) { if (asked++ === 0) em.create(Book, { title: A }) }
  })
  await runInContext({ orm: [orm, audit] }, async () => {
    await em('audit').count(Book)
    await em().count(Book)
  })
  t.equal(asked, 1)
  t.strictSame(await titles(), [A])
  t.equal(sent.at(-1), 'commit')
})

onEachDatabase('a transaction beside the context tells of what it writes', async (t, { orm, kind }) => {
  const count = listen(orm)
  for (const propagation of kind === 'sqlite' ? [NOT_SUPPORTED] : [REQUIRES_NEW, NOT_SUPPORTED]) {
    await runInContext({ orm }, () => em().transactional(async em => { em.create(Book, { title: propagation }) }, { propagation }))
    t.strictSame(count.splice(0), [1], propagation)
    await runInContext({ orm }, () => em().transactional(em => em.count(Book), { propagation }))
    t.strictSame(count.splice(0), [0], propagation)
    await runInContext({ orm }, () => em().transactional(async inner => {
      inner.create(Book, { title: `${propagation}, before` })
      beforeCommit(() => { inner.create(Book, { title: `${propagation}, by a hook` }) })
    }, { propagation }))
    t.strictSame(count.splice(0), [1, 1], `${propagation}, with a hook`)
  }
})

onEachDatabase('a subscriber to a flush may use em.transactional(), and does not wait for that flush for ever', async (t, { orm, titles }) => {
  let calls = 0
  orm.em.getEventManager().registerSubscriber({
    async afterFlush () {
      if (++calls === 1) await em().transactional(async inner => { await inner.insert(Book, { title: B }) })
    }
  })
  await runInContext({ orm, signal: AbortSignal.timeout(10_000) }, async () => {
    create(A)
    await em().flush()
    await em().transactional(async inner => {
      calls = 0
      inner.create(Book, { title: 'inner' })
      await inner.nativeDelete(Book, { title: B })
      await inner.flush()
    })
  })
  t.strictSame(await titles(), [A, B, 'inner'].sort())
})

onEachDatabase('a subscriber to a flush cannot commit in the midst of it', async (t, { orm, titles }) => {
  orm.em.getEventManager().registerSubscriber({ beforeFlush: () => commit() as Promise<any> })
  await t.rejects(runInContext({ orm, signal: AbortSignal.timeout(10_000) }, async () => {
    create(A)
    await em().flush()
  }), { name: 'ValidationError', message: /flush/ })
  t.strictSame(await titles(), [])
})
