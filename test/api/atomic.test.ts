import { TransactionPropagation } from '@mikro-orm/core'
import { afterCommit, afterRollback, atomic, commit, em, rollback, runInContext } from '../../index.ts'
import { Book, onEachDatabase, onEachPool, onEveryEngine, onSqlite, type TestDatabase } from '../support/databases.ts'
import { startServer } from '../support/server.ts'

onEveryEngine('atomic() commits at once what its function did, and returns what that returned', async (t, { orm, titles, taken }) => {
  const { post } = await startServer(t, { orm }, app => {
    app.post('/', async () => {
      const book = await atomic(async () => em().create(Book, { title: 'Emma' }))
      t.match(book, { id: 1, title: 'Emma' })
      t.strictSame(await titles(), ['Emma'])
      t.equal(taken(), 0)
      t.equal(await atomic(() => 5), 5)
      await em().insert(Book, { title: 'lost' })
      throw new Error('no')
    })
  })
  t.equal((await post('/')).status, 500)
  t.strictSame(await titles(), ['Emma'])
})

onEveryEngine('atomic() that throws takes back what it did, and leaves a clean EntityManager', async (t, { orm, titles, taken }) => {
  const no = new Error('no')
  await runInContext({ orm }, async () => {
    await t.rejects(atomic(async () => {
      await em().insert(Book, { title: 'inserted' })
      em().create(Book, { title: 'pending' })
      throw no
    }), no)
    t.equal(taken(), 0)
    await t.rejects(atomic(async () => {
      em().create(Book, { title: 'twice' })
      await em().flush()
      em().create(Book, { title: 'twice' })
    }), { name: 'UniqueConstraintViolationException' }, 'also when the flush fails')
    em().create(Book, { title: 'kept' })
  })
  t.strictSame(await titles(), ['kept'])
})

/** What becomes of what is flushed and what is pending before, if `atomic()` succeeds, and if it fails. */
const EXISTING: [existing: 'commit' | 'rollback' | 'join' | undefined, success: string[], failure: string[]][] = [
  [undefined, ['atomic', 'flushed', 'pending'], ['flushed', 'pending']],
  ['commit', ['atomic', 'flushed', 'pending'], ['flushed', 'pending']],
  ['rollback', ['atomic'], []],
  ['join', ['atomic', 'flushed', 'pending'], []]
]
for (const [existing, success, failure] of EXISTING) {
  onEachDatabase(`atomic() with existing: ${existing}`, async (t, { orm, titles }) => {
    const run = async (fails: boolean): Promise<void> => {
      await runInContext({ orm }, async () => {
        await em().insert(Book, { title: 'flushed' })
        em().create(Book, { title: 'pending' })
        await atomic(async () => {
          em().create(Book, { title: 'atomic' })
          await em().flush()
          t.strictSame(await titles(), existing === 'join' || existing === 'rollback' ? [] : ['flushed', 'pending'])
          if (fails) throw new Error('no')
        }, { existing })
        t.strictSame(await titles(), success)
        throw new Error('after')
      }).catch(error => { if (error.message !== (fails ? 'no' : 'after')) throw error })
    }
    await run(false)
    t.strictSame(await titles(), success)
    await orm.em.fork().nativeDelete(Book, {})
    await run(true)
    t.strictSame(await titles(), failure)
  })
}

onEachDatabase('atomic() with existing: reject wants nothing to be there', async (t, { orm, titles }) => {
  const reject = { existing: 'reject' } as const
  const error = { code: 'FST_ORM_TRANSACTION_OPEN', message: /^job has a transaction open: atomic\(\) with existing: 'reject' has found/ }
  await runInContext({ orm, name: 'job' }, async () => {
    await atomic(() => { em().create(Book, { title: 'first' }) }, reject)
    await atomic(() => em().insert(Book, { title: 'second' }), reject)
    const first = (): Promise<{ title: string }> => em().findOneOrFail(Book, { title: 'first' })
    const changes: Record<string, () => unknown> = {
      created: () => em().create(Book, { title: 'new' }),
      changed: async () => { (await first()).title = 'changed' },
      removed: async () => em().remove(await first()),
      written: () => em().insert(Book, { title: 'new' }),
      begun: () => em().begin()
    }
    for (const [name, change] of Object.entries(changes)) {
      await change()
      await t.rejects(atomic(() => { t.fail('must not run') }, reject), error, name)
      await rollback()
    }
  })
  t.strictSame(await titles(), ['first', 'second'])
})

onEveryEngine('several atomic() of one context run one after the other', async (t, { orm, titles }) => {
  await runInContext({ orm }, async () => {
    const results = await Promise.allSettled([
      atomic(async () => {
        await em().insert(Book, { title: 'a' })
        await em().count(Book)
        await em().insert(Book, { title: 'a too' })
      }),
      atomic(async () => {
        await em().insert(Book, { title: 'b' })
        throw new Error('b')
      }),
      atomic(async () => {
        t.strictSame(await titles(), ['a', 'a too'])
        await em().insert(Book, { title: 'c' })
      })
    ])
    t.match(results, [{ status: 'fulfilled' }, { status: 'rejected' }, { status: 'fulfilled' }])
  })
  t.strictSame(await titles(), ['a', 'a too', 'c'])
})

onEachDatabase('inside atomic() and em.transactional(), atomic() can only join', async (t, { orm, titles }) => {
  const error = { code: 'FST_ORM_TRANSACTION_OPEN', message: /atomic\(\) would commit the atomic\(\) or em\.transactional\(\) around it\. Use/ }
  await runInContext({ orm }, async () => {
    const around = [
      (fn: () => Promise<void>) => atomic(fn),
      (fn: () => Promise<void>) => em().transactional(fn)
    ]
    for (const [i, run] of around.entries()) {
      const ran: string[] = []
      await run(async () => {
        await em().insert(Book, { title: `outer ${i}` })
        for (const existing of [undefined, 'commit', 'rollback', 'reject'] as const) {
          await t.rejects(atomic(() => { t.fail('must not run') }, { existing }), error)
        }
        await atomic(async () => {
          em().create(Book, { title: `joined ${i}` })
          afterCommit(() => { ran.push('after joined') })
        }, { existing: 'join' })
        await atomic(async () => {
          await em().insert(Book, { title: 'lost' })
          afterRollback(() => { ran.push('rolled back') })
          throw new Error('no')
        }, { existing: 'join' }).catch(() => {})
        t.strictSame(await titles(), i === 0 ? [] : ['joined 0', 'outer 0'])
      })
      if (i === 1) await commit()
      t.strictSame(await titles(), i === 0 ? ['joined 0', 'outer 0'] : ['joined 0', 'joined 1', 'outer 0', 'outer 1'])
      t.strictSame(ran, ['rolled back', 'after joined'])
    }
  })
})

onEachPool('inside a transaction beside that of the context, atomic() and commit() are refused too', async (t, { orm, titles }) => {
  await runInContext({ orm }, async () => {
    await em().insert(Book, { title: 'outer' })
    await em().transactional(async () => {
      await t.rejects(atomic(() => {}), { code: 'FST_ORM_TRANSACTION_OPEN' })
      await t.rejects(commit(), { code: 'FST_ORM_TRANSACTION_OPEN', message: /commit\(\) would end a transaction from within another one/ })
      await atomic(() => em().insert(Book, { title: 'own' }), { existing: 'join' })
    }, { propagation: TransactionPropagation.REQUIRES_NEW })
    t.strictSame(await titles(), ['own'])
  })
  t.strictSame(await titles(), ['outer', 'own'])
})

onEveryEngine('nobody commits or rolls back from within, or from beside, an atomic() or em.transactional()', async (t, { orm, titles }) => {
  await runInContext({ orm, name: 'job' }, async () => {
    for (const [name, run] of [['atomic', atomic], ['em.transactional', (fn: () => Promise<void>) => em().transactional(fn)]] as const) {
      const started = Promise.withResolvers<void>()
      const go = Promise.withResolvers<void>()
      const running = run(async () => {
        await em().insert(Book, { title: name })
        const inside = name === 'atomic' ? [commit, rollback, () => em().commit(), () => em().rollback()] : [commit, rollback]
        for (const settle of inside) {
          await t.rejects(settle() as Promise<unknown>, { code: 'FST_ORM_TRANSACTION_OPEN', message: /^job has a transaction open: .*(commit|rollback)\(\) would end .* which has not returned\. Return from it/ })
        }
        started.resolve()
        await go.promise
      })
      await started.promise
      for (const settle of [commit, rollback, () => em().commit(), () => em().rollback()]) {
        await t.rejects(settle() as Promise<unknown>, { code: 'FST_ORM_TRANSACTION_OPEN' }, `${name}, beside`)
      }
      if (name === 'em.transactional') await t.rejects(atomic(() => {}), { code: 'FST_ORM_TRANSACTION_OPEN', message: /atomic\(\) would end em\.transactional\(\)/ })
      go.resolve()
      await running
    }
  })
  t.strictSame(await titles(), ['atomic', 'em.transactional'])
})

onEveryEngine('an em.transactional() that is still running when atomic() is done makes it fail, and nothing of it is kept', async (t, { orm, titles }) => {
  const go = Promise.withResolvers<void>()
  await t.rejects(runInContext({ orm }, async () => {
    let forgotten: Promise<unknown> | undefined
    const started = Promise.withResolvers<void>()
    await atomic(async () => {
      forgotten = em().transactional(async inner => {
        await inner.insert(Book, { title: 'forgotten' })
        started.resolve()
        await go.promise
      })
      await em().insert(Book, { title: 'atomic' })
      await started.promise
    }).finally(async () => {
      go.resolve()
      await forgotten!.catch(() => {})
    })
  }), { code: 'FST_ORM_TRANSACTION_OPEN', message: /a commit would end em\.transactional\(\)/ })
  t.strictSame(await titles(), [])
})

onEveryEngine('a context that ends while atomic() is running keeps nothing of it', async (t, { orm, titles }) => {
  const controller = new AbortController()
  const failed = Promise.withResolvers<unknown>()
  await t.rejects(runInContext({ orm, signal: controller.signal, name: 'job' }, async () => {
    await atomic(async () => {
      await em().insert(Book, { title: 'Emma' })
      controller.abort()
    }).catch(failed.resolve)
  }), { name: 'AbortError' })
  t.match(await failed.promise, { code: 'FST_ORM_CONTEXT_ENDED', message: /^job has ended \(rolledBack\)/ })
  t.strictSame(await titles(), [])
})

onSqlite('atomic() needs a context, a function, and options that exist', async (t, { orm }) => {
  await t.rejects(atomic(() => {}), { code: 'FST_ORM_NO_CONTEXT', message: /^atomic\(\) outside a context/ })
  await runInContext({ orm }, async () => {
    await t.rejects(atomic(5 as any), { code: 'FST_ORM_BAD_OPTION', message: /"fn" takes a function, got 5/ })
    await t.rejects(atomic(() => {}, { existing: 'append' as any }), { code: 'FST_ORM_BAD_OPTION', message: /"existing" takes 'commit', 'rollback', 'join' or 'reject', got 'append'/ })
    await t.rejects(atomic(() => {}, { exists: 'join' } as any), { code: 'FST_ORM_BAD_OPTION', message: /no such option \(there are existing, retry\)/ })
    await t.rejects(atomic(() => {}, null as any), { code: 'FST_ORM_BAD_OPTION', message: /"options" takes an object, got null/ })
  })
})

onEveryEngine('a failing atomic() that takes along what was written beside it is no silent loss', async (t, { orm, titles }) => {
  const run = (beside: () => Promise<unknown>, after?: () => Promise<unknown>): Promise<void> => runBeside(orm, beside, after)
  await t.rejects(run(() => em().insert(Book, { title: 'beside' })), {
    code: 'FST_ORM_TRANSACTION_FAILED', cause: { message: /an atomic\(\) was rolled back, and took along what was written beside it/ }
  })
  await t.rejects(run(() => em().insert(Book, { title: 'beside' }), commit), { code: 'FST_ORM_TRANSACTION_FAILED' })
  t.strictSame(await titles(), [])
  await run(() => runInContext(async () => {}), async () => { em().create(Book, { title: 'goes on' }) })
  await run(() => em().insert(Book, { title: 'beside' }), rollback)
  t.strictSame(await titles(), ['goes on'], 'unless it is rolled back by hand')
})

onEveryEngine('what is written inside an atomic(), through whatever contexts, is not beside it', async (t, { orm, kind, titles }) => {
  await runInContext({ orm }, async () => {
    const outer = em()
    await atomic(async () => {
      await runInContext(() => atomic(() => outer.insert(Book, { title: 'in' })))
      throw new Error('no')
    }).catch(() => {})
    await em().insert(Book, { title: `after, on ${kind}` })
  })
  t.strictSame(await titles(), [`after, on ${kind}`])
})

onEveryEngine('so it is if its commit fails, and if the context goes on with another atomic()', async (t, { orm, titles }) => {
  await t.rejects(runInContext({ orm }, async () => {
    const started = Promise.withResolvers<void>()
    const go = Promise.withResolvers<void>()
    const failing = atomic(async () => {
      await em().insert(Book, { title: 'twice' })
      started.resolve()
      await go.promise
      em().create(Book, { title: 'twice' })
    })
    await started.promise
    await em().insert(Book, { title: 'beside' })
    go.resolve()
    await t.rejects(failing, { name: 'UniqueConstraintViolationException' })
    await t.rejects(atomic(() => em().insert(Book, { title: 'another' })), { code: 'FST_ORM_TRANSACTION_FAILED' })
    em().create(Book, { title: 'goes on' })
  }), { code: 'FST_ORM_TRANSACTION_FAILED' })
  t.strictSame(await titles(), [])
})

onEachDatabase('what is written while atomic() commits what was there before is no silent loss either', async (t, { orm, titles }) => {
  for (let steps = 0; steps < 40; steps += 2) {
    const lost = await runInContext({ orm }, async () => {
      await em().insert(Book, { title: `before ${steps}` })
      const go = Promise.withResolvers<void>()
      const failing = atomic(async () => {
        await go.promise
        throw new Error('no')
      }).catch(() => {})
      for (let step = 0; step < steps; step++) await null
      await em().insert(Book, { title: `beside ${steps}` })
      go.resolve()
      await failing
    }).then(() => false, ({ code }) => code === 'FST_ORM_TRANSACTION_FAILED')
    t.equal((await titles()).includes(`beside ${steps}`), !lost, `after ${steps} steps`)
  }
})

onEveryEngine('what is only read beside a failing atomic() is not lost', async (t, { orm, titles }) => {
  await runBeside(orm, async () => t.equal(await em().count(Book), 1), async () => { em().create(Book, { title: 'goes on' }) })
  t.strictSame(await titles(), ['goes on'])
})

onEveryEngine('what still comes from an atomic() that has failed is refused, and not what its hooks write', async (t, { orm, kind, titles }) => {
  await runInContext({ orm, name: 'job' }, async () => {
    const failed = Promise.withResolvers<void>()
    const late: Array<Promise<unknown>> = []
    const outer = em()
    await atomic(async () => {
      await em().insert(Book, { title: 'in time' })
      late.push(failed.promise.then(() => em().insert(Book, { title: 'late' })))
      if (kind !== 'sqlite') late.push(failed.promise.then(() => runInContext(() => atomic(() => outer.insert(Book, { title: 'late, from a branch' })))))
      afterRollback(() => em().insert(Book, { title: 'of a hook' }))
      throw new Error('no')
    }).catch(() => {})
    failed.resolve()
    for (const promise of late) await t.rejects(promise, { code: 'FST_ORM_CONTEXT_ENDED', message: /^an atomic\(\) of job has ended \(rolledBack\).* late/ })
    await em().insert(Book, { title: 'after' })
    await atomic(() => em().insert(Book, { title: 'of another one' }))
  })
  t.strictSame(await titles(), ['after', 'of a hook', 'of another one'])
})

/** In one context: `beside`, while an `atomic()` is running that has written and is to fail, and `after` when that has failed. */
async function runBeside (orm: TestDatabase['orm'], beside: () => Promise<unknown>, after: () => Promise<unknown> = async () => {}): Promise<void> {
  await runInContext({ orm }, async () => {
    const started = Promise.withResolvers<void>()
    const go = Promise.withResolvers<void>()
    const failing = atomic(async () => {
      await em().insert(Book, { title: 'atomic' })
      started.resolve()
      await go.promise
      throw new Error('no')
    }).catch(() => {})
    await started.promise
    await beside()
    go.resolve()
    await failing
    await after()
  })
}
