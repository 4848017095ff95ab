import { TransactionPropagation } from '@mikro-orm/core'
import { em, runInContext } from '../../index.ts'
import { Book, onEachDatabase, onEachPool, onPostgres } from '../support/databases.ts'
import { refuseCommits } from '../support/refused-commits.ts'

const { MANDATORY, NESTED, NEVER, NOT_SUPPORTED, REQUIRED, REQUIRES_NEW, SUPPORTS } = TransactionPropagation

/**
 * In a context there is a transaction, though it may not have begun. So: which EntityManager the callback gets, what is
 * left when the callback fails and the error is caught, and what when the context fails afterwards.
 */
const EXPECTED: Record<string, { isInner: boolean, callbackFails: string[], contextFails: string[] }> = {
  [REQUIRED]: { isInner: true, callbackFails: ['after', 'before'], contextFails: [] },
  [NESTED]: { isInner: true, callbackFails: ['after', 'before'], contextFails: [] },
  [SUPPORTS]: { isInner: false, callbackFails: ['after', 'before', 'callback'], contextFails: [] },
  [MANDATORY]: { isInner: false, callbackFails: ['after', 'before', 'callback'], contextFails: [] },
  [REQUIRES_NEW]: { isInner: true, callbackFails: ['after', 'before'], contextFails: ['callback'] },
  [NOT_SUPPORTED]: { isInner: true, callbackFails: ['after', 'before', 'callback'], contextFails: ['callback'] }
}

for (const [propagation, { isInner, callbackFails, contextFails }] of Object.entries(EXPECTED)) {
  const onDatabases = propagation === REQUIRES_NEW || propagation === NOT_SUPPORTED ? onPostgres : onEachDatabase
  for (const hasBegun of [true, false]) {
    onDatabases(`em.transactional() with ${propagation}, the context's transaction ${hasBegun ? 'begun' : 'not begun'}`, async (t, { orm, titles, taken }) => {
      const before = async (): Promise<void> => {
        em().create(Book, { title: 'before' })
        if (hasBegun) await em().flush()
      }
      await runInContext({ orm }, async () => {
        await before()
        await em().transactional(async inner => {
          t.equal(inner, em().getContext())
          t.equal(inner, orm.em.getContext())
          t.equal(inner.getTransactionContext() === undefined, propagation === NOT_SUPPORTED)
          await em().insert(Book, { title: 'callback' })
          throw new Error('no')
        }, { propagation: propagation as any }).catch(() => {})
        em().create(Book, { title: 'after' })
      })
      t.strictSame(await titles(), callbackFails)
      await orm.em.fork().nativeDelete(Book, {})

      await t.rejects(runInContext({ orm }, async () => {
        const outer = em()
        await before()
        await em().transactional(async inner => {
          t.equal(inner !== outer, isInner)
          inner.create(Book, { title: 'callback' })
        }, { propagation: propagation as any })
        await em().flush()
        throw new Error('no')
      }), { message: 'no' })
      t.strictSame(await titles(), contextFails)
      t.equal(taken(), 0)
    })
  }
}

onEachDatabase('em.transactional() with never throws: a context is a transaction, also before it begins', async (t, { orm, sent }) => {
  for (const manager of [() => em(), () => orm.em]) {
    await runInContext({ orm }, async () => {
      await t.rejects(manager().transactional(async () => { t.fail('must not run') }, { propagation: NEVER }), { name: 'TransactionStateError', message: /never/ })
    })
  }
  await runInContext({ orm, transaction: false }, async () => {
    t.equal(await em().transactional(async inner => await inner.count(Book), { propagation: NEVER }), 0, 'with transaction: false there is none')
    await t.rejects(em().transactional(async () => {}, { propagation: MANDATORY }), { name: 'TransactionStateError' })
  })
  t.equal(sent.length, 1)
})

onEachDatabase('all propagations work inside an em.transactional(), which is inside the context', async (t, { orm, kind, titles }) => {
  await t.rejects(runInContext({ orm }, async () => {
    await em().transactional(async inner => {
      await inner.insert(Book, { title: 'inner' })
      for (const propagation of [REQUIRED, NESTED, SUPPORTS, MANDATORY]) {
        await inner.transactional(async innermost => { innermost.create(Book, { title: propagation }) }, { propagation })
        await orm.em.transactional(async innermost => { innermost.create(Book, { title: `${propagation} of orm.em` }) }, { propagation })
      }
      t.equal(await em().count(Book), 9)
      await t.rejects(inner.transactional(async () => {}, { propagation: NEVER }), { name: 'TransactionStateError' })
      if (kind === 'sqlite') return
      await inner.transactional(async own => { own.create(Book, { title: 'own' }) }, { propagation: REQUIRES_NEW })
      await inner.transactional(async own => { own.create(Book, { title: 'none' }) }, { propagation: NOT_SUPPORTED })
    })
    throw new Error('no')
  }), { message: 'no' })
  t.strictSame(await titles(), kind === 'sqlite' ? [] : ['none', 'own'])
})

onEachDatabase('what is pending when an inner em.transactional() fails is not lost with it', async (t, { orm, titles }) => {
  await runInContext({ orm }, async () => {
    await em().transactional(async inner => {
      inner.create(Book, { title: 'pending' })
      await inner.transactional(async innermost => {
        innermost.create(Book, { title: 'innermost' })
        throw new Error('no')
      }).catch(() => {})
    })
  })
  t.strictSame(await titles(), ['pending'])
})

for (const transaction of ['on-write', false] as const) {
  onEachPool(`a transaction beside that of the context whose connection dies gives it back, with transaction: ${transaction}`, async (t, { orm, ownId, kill, titles, taken }) => {
    const die = async (manager: any): Promise<void> => await kill((await manager.execute(ownId))[0].id)
    await runInContext({ orm, transaction }, async () => {
      for (let i = 0; i < 7; i++) { // more than the pool has connections
        const beside = (callback: (own: any) => Promise<void>): Promise<void> => em().transactional(callback, { propagation: REQUIRES_NEW })
        await t.rejects(beside(async own => {
          await own.insert(Book, { title: 'before the commit' })
          await die(own)
        }), { name: /Exception/ })
        await t.rejects(beside(async own => {
          await die(own)
          throw new Error('before the rollback')
        }), { message: 'before the rollback' })
        await beside(own => own.insert(Book, { title: `kept ${i}` }))
      }
    })
    t.equal(taken(), 0)
    t.equal((await titles()).length, 7)
  })
}

onEachDatabase('subscribers are told of a transaction beside that of the context', async (t, { orm }) => {
  const told: string[] = []
  orm.em.getEventManager().registerSubscriber({
    beforeTransactionStart: () => { told.push('before start') },
    afterTransactionStart: () => { told.push('after start') },
    beforeTransactionCommit: () => { told.push('before commit') },
    afterTransactionCommit: () => { told.push('after commit') },
    beforeTransactionRollback: () => { told.push('before rollback') },
    afterTransactionRollback: () => { told.push('after rollback') }
  })
  await runInContext({ orm }, async () => {
    await em().transactional(async own => { await own.insert(Book, { title: 'own' }) }, { propagation: REQUIRES_NEW, isolationLevel: 'serializable' as any })
    await em().transactional(async () => { throw new Error('no') }, { propagation: REQUIRES_NEW }).catch(() => {})
  })
  t.strictSame(told, ['before start', 'after start', 'before commit', 'after commit', 'before start', 'after start', 'before rollback', 'after rollback'])
})

onEachPool('a transaction beside that of the context that is refused at its commit is an exception of MikroORM', async (t, database) => {
  const { orm, taken } = database
  const { name } = await refuseCommits(database)
  const before = taken()
  await runInContext({ orm }, async () => {
    await t.rejects(em().transactional(async own => { await (own as any).execute('insert into review (book_id) values (99)') }, { propagation: REQUIRES_NEW }), { name })
  })
  t.equal(taken(), before)
})
