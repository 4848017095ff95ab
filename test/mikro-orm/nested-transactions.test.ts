import { Transactional } from '@mikro-orm/decorators/es'
import { SqlEntityManager, TransactionPropagation, type TransactionOptions } from '@mikro-orm/sql'
import { em, runInContext } from '../../index.ts'
import { createSandbox } from '../../testing.ts'
import { Book, onEachPool, onEveryEngine } from '../support/databases.ts'
import { startServer } from '../support/server.ts'

onEveryEngine('em.transactional() that fails and is caught takes back what it did, and no more', async (t, { orm, titles, sent }) => {
  const { post } = await startServer(t, { orm }, app => {
    app.post('/pending', async () => {
      em().create(Book, { title: 'outer' }) // not flushed yet
      await em().transactional(async inner => {
        inner.create(Book, { title: 'inner' })
        await inner.flush()
        throw new Error('inner')
      }).catch(() => {})
      return 'ok'
    })
    app.post('/flushed', async () => {
      em().create(Book, { title: 'before' })
      await em().flush()
      await em().transactional(async () => {
        em().create(Book, { title: 'inner' })
        await em().transactional(async () => {
          em().create(Book, { title: 'innermost' })
          await em().flush()
          throw new Error('innermost')
        }).catch(() => {})
        await em().insert(Book, { title: 'inner too' })
        throw new Error('inner')
      }).catch(() => {})
      em().create(Book, { title: 'after' })
      return { ok: true }
    })
  })
  t.equal((await post('/pending')).status, 200)
  t.strictSame(await titles(), ['outer'])
  t.equal((await post('/flushed')).status, 200)
  t.strictSame(await titles(), ['after', 'before', 'outer'])
  t.equal(sent.filter(sql => sql === 'begin').length, 2, 'one transaction for each request')
  t.equal(sent.filter(sql => sql.startsWith('savepoint')).length, 3)
})

onEveryEngine('inside em.transactional(), em() and orm.em are the inner EntityManager', async (t, { orm }) => {
  const repository = orm.em.getRepository(Book)
  const { post } = await startServer(t, { orm }, app => {
    app.post('/', async request => {
      const outer = em()
      t.equal(request.em, outer)
      await em().transactional(async inner => {
        t.not(inner, outer)
        t.equal(em(), inner)
        t.equal(request.em, inner)
        t.equal(orm.em.getContext(), inner)
        t.equal(repository.getEntityManager().getContext(), inner)
        const book = inner.create(Book, { title: 'Emma' })
        await outer.flush()
        t.equal(book.id, 1, 'also through the outer one')
      })
      await orm.em.transactional(async inner => {
        t.not(inner, outer)
        t.equal(em(), inner)
      })
      t.equal(em(), outer)
      t.equal(orm.em.getContext(), outer)
      return 'ok'
    })
  })
  t.equal((await post('/')).status, 200)
})

/** What `@Transactional()` does with a method, without the syntax, which type stripping does not know. */
function transactional<T> (orm: unknown, method: () => Promise<T>): () => Promise<T> {
  const decorated = (Transactional() as any)(method, { kind: 'method', name: 'method' })
  return decorated.bind({ orm })
}

onEveryEngine('@Transactional is all or nothing, and em() inside it is the inner EntityManager', async (t, { orm, titles }) => {
  const save = transactional(orm, async () => {
    t.equal(em().isInTransaction(), true)
    em().create(Book, { title: 'first' })
    await em().flush()
    throw new Error('second')
  })
  const keep = transactional(orm, async () => { em().create(Book, { title: 'kept' }) })
  const { post } = await startServer(t, { orm }, app => {
    app.post('/', async () => {
      const outer = em()
      await save().catch(() => {})
      await transactional(orm, async () => { t.not(em(), outer) })()
      await keep()
      return 'ok'
    })
  })
  t.equal((await post('/')).status, 200)
  t.strictSame(await titles(), ['kept'])
})

onEveryEngine('an isolation level of em.transactional() is the context\'s, or an error if it comes too late', async (t, { orm, sent, kind }) => {
  const { post } = await startServer(t, { orm }, app => {
    app.post('/first', async () => {
      await em().transactional(async () => { await em().insert(Book, { title: 'Emma' }) }, { isolationLevel: 'serializable' as any })
      return 'ok'
    })
    app.post('/late', async () => {
      await em().insert(Book, { title: 'Persuasion' })
      await orm.em.transactional(async () => {}, { isolationLevel: 'serializable' as any })
    })
  })
  t.equal((await post('/first')).status, 200)
  if (kind === 'postgresql') t.equal(sent[0], 'start transaction isolation level serializable')
  t.match(await (await post('/late')).json(), { statusCode: 500, code: 'FST_ORM_TRANSACTION_OPEN' })
})

for (const propagation of [TransactionPropagation.REQUIRES_NEW, TransactionPropagation.NOT_SUPPORTED]) {
  onEachPool(`what runs in parallel with ${propagation} stays in the transaction of the request`, async (t, { orm, titles, taken }) => {
    const { post } = await startServer(t, { orm }, app => {
      app.post('/', async () => {
        await em().insert(Book, { title: 'before' })
        const sibling = Promise.withResolvers<void>()
        await Promise.all([
          em().transactional(async own => {
            await sibling.promise
            await own.insert(Book, { title: 'own' })
          }, { propagation }),
          em().insert(Book, { title: 'sibling' }).then(() => sibling.resolve())
        ])
        throw new Error('no')
      })
    })
    t.equal((await post('/')).status, 500)
    t.strictSame(await titles(), ['own'])
    t.equal(taken(), 0)
  })
}

onEveryEngine('an app\'s own class of EntityManager keeps the methods that it overrides', async (t, { another, titles }) => {
  const calls: string[] = []
  class OwnEntityManager extends SqlEntityManager {
    override async flush (): Promise<void> {
      calls.push('flush')
      await super.flush()
    }

    override async transactional<T> (callback: (em: this) => T | Promise<T>, options?: TransactionOptions): Promise<T> {
      calls.push('transactional')
      return await super.transactional(callback, options)
    }
  }
  const orm = await another({ entityManager: OwnEntityManager })
  const { post } = await startServer(t, { orm }, app => {
    app.post('/', async () => {
      await orm.em.transactional(async em => { em.create(Book, { title: 'Emma' }) })
      return 'ok'
    })
  })
  t.equal((await post('/')).status, 200)
  t.ok(calls.includes('transactional') && calls.includes('flush'), calls.join())
  t.strictSame(await titles(), ['Emma'])
})

onEveryEngine('parallel writes of one request take turns', async (t, { orm, titles }) => {
  const { post } = await startServer(t, { orm }, app => {
    app.post('/', async () => {
      await em().insert(Book, { title: 'first' })
      await Promise.all([1, 2, 3].map(i => em().insert(Book, { title: `parallel ${i}` })))
      return 'ok'
    })
  })
  t.equal((await post('/')).status, 200)
  t.strictSame(await titles(), ['first', 'parallel 1', 'parallel 2', 'parallel 3'])
})

onEveryEngine('a captured outer EntityManager acts inside the em.transactional() that runs', async (t, { orm, titles }) => {
  const { post } = await startServer(t, { orm }, app => {
    app.post('/', async () => {
      const outer = em()
      await outer.transactional(async inner => {
        await outer.transactional(async innermost => {
          t.not(innermost, inner)
          await innermost.insert(Book, { title: 'outer' })
          await inner.transactional(async deeper => {
            t.not(deeper, innermost)
            await outer.insert(Book, { title: 'inner' })
          })
        })
        throw new Error('no')
      }).catch(() => {})
      return 'ok'
    })
  })
  t.equal((await post('/')).status, 200)
  t.strictSame(await titles(), [])
})

onEachPool('of savepoints inside each other that MikroORM calls by one name, each can be gone back to, in a sandbox as well', async (t, { orm, titles }) => {
  await using sandbox = await createSandbox(orm)
  const write = (title: string): Promise<unknown> => em().insert(Book, { title })
  const rolledBack = (work: () => Promise<unknown>): Promise<unknown> => t.rejects(em().transactional(async () => {
    await work()
    throw new Error('back')
  }), { message: 'back' })
  const nested = async (title: string): Promise<void> => {
    const outer = em()
    await write(title)
    await rolledBack(async () => {
      await write('lost')
      await outer.transactional(() => write('lost with it'))
      await runInContext(() => em().transactional(() => write(`${title} of a branch`)))
    })
    await write(`${title} after`)
  }
  await sandbox.run(() => runInContext({ orm }, () => nested('a')))
  t.strictSame((await sandbox.em.find(Book, {})).map(({ title }) => title).sort(), ['a', 'a after'], 'the branch was inside of what went back')
  await sandbox.rollback()
  t.strictSame(await titles(), [])
})
