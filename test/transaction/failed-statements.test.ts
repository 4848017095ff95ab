import { TransactionPropagation } from '@mikro-orm/core'
import type { SqlEntityManager } from '@mikro-orm/sql'
import { atomic, em, runInContext } from '../../index.ts'
import { Book, onEachDatabase, onEachSqlite, onEveryEngine } from '../support/databases.ts'
import { startServer } from '../support/server.ts'
import { until } from '../support/until.ts'

const sql = (): SqlEntityManager => em() as unknown as SqlEntityManager
const write = (title: string): Promise<unknown> => em().insert(Book, { title })
const FAILED = { code: 'FST_ORM_TRANSACTION_FAILED' }

onEveryEngine('after a statement that has failed nothing more is sent, and the error names it', async (t, { orm, sent, titles, taken }) => {
  const later: unknown[] = []
  const { failure, post } = await startServer(t, { orm }, app => {
    app.post('/', async () => {
      await write('Emma')
      await write('Emma').catch(() => {})
      sent.length = 0
      for (const use of [() => write('later'), () => em().find(Book, {}), () => em().flush(), () => em().transactional(() => write('later')), async () => {
        for await (const book of em().stream(Book)) later.push(book)
      }]) later.push(await use().then(() => 'done', error => error))
      return { ok: true }
    })
  })
  t.match(await failure(post('/')), { statusCode: 500, ...FAILED, message: /^POST \/ sends and commits nothing more, because this has failed in its transaction: insert into .book. \(.title.\) … \(see the cause\)/ })
  t.match(later, [FAILED, FAILED, 'done', FAILED, FAILED])
  t.match(later[0], { cause: { code: /^(23505|SQLITE_CONSTRAINT_UNIQUE|ER_DUP_ENTRY)$/ } })
  t.strictSame(sent, ['rollback'])
  t.strictSame(await titles(), [])
  t.equal(taken(), 0)
})

onEveryEngine('inside of em.transactional() it is what is inside that can be taken back', async (t, { orm, titles }) => {
  await runInContext({ orm }, async () => {
    await write('before')
    const inner = em().transactional(async () => {
      await write('before').catch(() => {})
      await t.rejects(write('inside'), FAILED)
    })
    await t.rejects(inner, FAILED, 'also if what has failed was caught')
    await write('after')
  })
  t.strictSame(await titles(), ['after', 'before'])
})

onEveryEngine('a transaction of its own sends nothing more either', async (t, { orm, titles, taken }) => {
  for (const [transaction, propagation] of [['on-write', TransactionPropagation.REQUIRES_NEW], [false, TransactionPropagation.NESTED]] as const) {
    await runInContext({ orm, transaction }, async () => {
      const own = em().transactional(async inner => {
        await inner.insert(Book, { title: 'Emma' })
        await inner.insert(Book, { title: 'Emma' }).catch(() => {})
        await t.rejects(inner.insert(Book, { title: 'later' }), FAILED)
      }, { propagation })
      await t.rejects(own, FAILED)
      await write(`beside ${transaction}`)
    })
  }
  t.strictSame(await titles(), ['beside false', 'beside on-write'])
  t.equal(taken(), 0)
})

onEachDatabase('a stream that fails in the transaction fails it as any other statement', async (t, { orm, kind, titles }) => {
  const failing = kind === 'sqlite' ? "select json('{') as broken" : 'select (select stock from book union select 1) as broken from book'
  const stream = (text: string): AsyncIterable<unknown> => sql().getConnection().stream(text, [], sql().getTransactionContext() as never)
  const run = runInContext({ orm }, async () => {
    await write('Emma')
    const read = async (): Promise<void> => {
      for await (const row of stream('select title from book')) t.strictSame(row, { title: 'Emma' })
      for await (const row of stream(failing)) t.fail(String(row))
    }
    await t.rejects(read())
    await t.rejects(write('later'), FAILED)
  })
  await t.rejects(run, FAILED)
  t.strictSame(await titles(), [])
})

/** The database rolls back by itself, and would commit by itself what comes next. */
const ROLLS_BACK = `
  create trigger forbidden before insert on book when new.title like 'forbidden%' begin select raise(rollback, 'not this one'); end
`

onEachSqlite('where the database has rolled back by itself, nothing that comes later is committed', async (t, { orm, titles }) => {
  await orm.em.fork().execute(ROLLS_BACK)
  const { log, post } = await startServer(t, { orm }, app => {
    app.post('/caught', async () => {
      await write('first')
      await write('forbidden').catch(() => {})
      await write('later').catch(() => {})
      return { ok: true }
    })
    app.post('/flushed', async () => {
      await write('first')
      await write('forbidden').catch(() => {})
      return em().create(Book, { title: 'later' })
    })
    app.post('/first', async () => {
      await write('forbidden').catch(() => {})
      await write('later').catch(() => {})
      return { ok: true }
    })
    app.post('/nested', async () => {
      await write('first')
      await em().transactional(async inner => {
        await inner.insert(Book, { title: 'forbidden' }).catch(() => {})
        await inner.insert(Book, { title: 'later' }).catch(() => {})
      }).catch(() => {})
      await write('later still').catch(() => {})
      return { ok: true }
    })
    app.post('/twice-nested', async () => {
      await em().transactional(async () => {
        await em().transactional(() => write('forbidden')).catch(() => {})
        await write('later')
      }).catch(() => {})
      await write('later still').catch(() => {})
      return { ok: true }
    })
    app.post('/own', async () => {
      await em().transactional(async inner => {
        await inner.insert(Book, { title: 'forbidden' }).catch(() => {})
        await inner.insert(Book, { title: 'later' })
      }, { propagation: TransactionPropagation.REQUIRES_NEW })
    })
    app.post('/atomic', async () => {
      await atomic(async () => {
        await write('forbidden').catch(() => {})
        await write('later').catch(() => {})
      })
    })
  })
  for (const path of ['/caught', '/flushed', '/first', '/nested', '/twice-nested', '/own', '/atomic']) {
    t.equal((await post(path)).status, 500, path)
    t.strictSame(await titles(), [], path)
  }
  t.notMatch(log.map(({ msg }) => msg).join(), /the rollback has failed/, 'that there is nothing to roll back is no news')
  t.equal((await runInContext({ orm }, () => write('Emma').then(() => 'well'))), 'well')
})

onEveryEngine('an em.transactional() whose context was rolled back meanwhile has nothing to go back to', async (t, { another, titles, taken }) => {
  const logged: string[] = []
  const orm = await another({ debug: ['query'], logger: (message: string) => logged.push(message), colors: false })
  const abort = new AbortController()
  const failure = new Error('by the work')
  let inner: Promise<unknown> | undefined
  const run = runInContext({ orm, signal: abort.signal }, async () => {
    await (inner = em().transactional(async () => {
      await write('Emma')
      abort.abort()
      await until(() => taken() === 0)
      throw failure
    }))
  })
  await t.rejects(run)
  t.equal(await inner!.catch((error: unknown) => error), failure)
  t.notMatch(logged.join('\n'), /Failed to roll back/, 'and MikroORM does not warn of it')
  t.strictSame(await titles(), [])
})
