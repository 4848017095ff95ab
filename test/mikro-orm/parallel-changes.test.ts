import { setImmediate } from 'node:timers/promises'
import type { EntityManager } from '@mikro-orm/core'
import type { Test } from 'tap'
import { commit, em, runInContext, type TransactionMode } from '../../index.ts'
import { Author, Book, onEveryEngine, type Orm, type TestDatabase } from '../support/databases.ts'
import { startServer } from '../support/server.ts'

const NAMES = ['a', 'b', 'c', 'd']

/** Parallel work of one context, with what it is to leave: titles of books. Four books 'old …' are there before. */
const WORK: Record<string, { run (): Promise<unknown>, leaves: string[] }> = {
  'finds or creates, and flushes': {
    run: () => Promise.all(NAMES.map(async title => {
      await em().findOne(Book, { title })
      const book = em().create(Book, { title })
      await em().flush()
      return book.id
    })),
    leaves: NAMES
  },
  'creates, and finds with auto-flush': {
    run: () => Promise.all(NAMES.map(async title => {
      const book = em().create(Book, { title })
      await em().find(Book, { title: { $ne: 'x' } })
      return book.id
    })),
    leaves: NAMES
  },
  'creates, and commits': {
    run: () => Promise.all(NAMES.map(async title => {
      await em().findOne(Book, { title })
      const book = em().create(Book, { title })
      await commit()
      return book.id
    })),
    leaves: NAMES
  },
  'creates in em.transactional()': {
    run: () => Promise.all(NAMES.map(async title => await em().transactional(async inner => {
      await inner.findOne(Book, { title })
      const book = inner.create(Book, { title })
      await inner.flush()
      return book.id
    }))),
    leaves: NAMES
  },
  'creates in parallel inside of one em.transactional()': {
    run: () => em().transactional(inner => Promise.all(NAMES.map(async title => {
      await inner.findOne(Book, { title })
      const book = inner.create(Book, { title })
      await inner.flush()
      return book.id
    }))),
    leaves: NAMES
  },
  'creates during a flush, and leaves it to the end': {
    async run () {
      const [a] = [em().create(Book, { title: 'a' })]
      const flushing = em().flush()
      await setImmediate()
      const b = em().create(Book, { title: 'b' })
      await flushing
      await em().flush()
      return [a.id, b.id]
    },
    leaves: ['a', 'b']
  },
  'creates during a flush, and flushes behind it': {
    async run () {
      const a = em().create(Book, { title: 'a' })
      const first = em().flush()
      await setImmediate()
      const b = em().create(Book, { title: 'b' })
      await Promise.all([first, em().flush()])
      return [a.id, b.id]
    },
    leaves: ['a', 'b']
  }
}

const MODES: TransactionMode[] = ['on-write', 'on-query', false]

/** Runs it as a request and as a job, in each mode. */
async function inEachContext (t: Test, { orm, titles }: TestDatabase, run: () => Promise<unknown>, before: (em: EntityManager) => Promise<void>, leaves: string[]): Promise<void> {
  const { post } = await startServer(t, { orm }, app => {
    for (const transaction of MODES) app.post(`/${transaction}`, { config: { orm: { transaction } } }, run)
  })
  for (const transaction of MODES) {
    for (const kind of ['request', 'job']) {
      await before(orm.em.fork())
      let ids: any
      if (kind === 'request') {
        const response = await post(`/${transaction}`)
        t.equal(response.status, 200, `${transaction} ${kind}`)
        ids = await response.json()
      } else {
        ids = await runInContext({ orm, transaction }, run)
      }
      t.strictSame(await titles(), leaves, `${transaction} ${kind}`)
      for (const id of ids) t.ok(Number.isInteger(id), `an id for each, ${transaction} ${kind}`)
      await orm.em.fork().nativeDelete(Book, {})
    }
  }
}

for (const [name, { run, leaves }] of Object.entries(WORK)) {
  onEveryEngine(`parallel work of one context loses nothing when it ${name}`, async (t, database) => {
    await inEachContext(t, database, run, async () => {}, leaves)
  })
}

onEveryEngine('parallel work of one context loses nothing when it removes, and flushes', async (t, database) => {
  await inEachContext(t, database, () => Promise.all(NAMES.map(async title => {
    const book = await em().findOneOrFail(Book, { title })
    const { id } = book
    em().remove(book)
    await em().flush()
    return id
  })), async manager => {
    for (const title of [...NAMES, 'stays']) manager.create(Book, { title })
    await manager.flush()
  }, ['stays'])
})

/** Calls `during` when the first flush is between its statements, and nobody flushes what it does. */
function duringFirstFlush (t: Test, orm: Orm, during: () => void): void {
  let isFirst = true
  const subscriber = {
    async afterCreate () {
      if (!isFirst) return
      isFirst = false
      during()
    }
  }
  orm.em.getEventManager().registerSubscriber(subscriber)
  t.teardown(() => orm.em.getEventManager().getSubscribers().delete(subscriber))
}

onEveryEngine('what comes during a flush, and nobody flushes, is flushed in the end', async (t, { orm, titles }) => {
  await runInContext({ orm }, () => {
    em().create(Book, { title: 'to be removed' })
    em().create(Author, { name: 'Jane', books: [em().create(Book, { title: 'orphan' })] })
  })
  let context: EntityManager
  duringFirstFlush(t, orm, () => {
    context.create(Book, { title: 'late' })
    context.remove(context.getReference(Book, 1))
  })
  await runInContext({ orm }, async () => {
    context = em()
    await em().find(Book, {})
    em().create(Book, { title: 'first' })
    await em().flush()
  })
  t.strictSame(await titles(), ['first', 'late', 'orphan'])
})

onEveryEngine('em.clear() drops what has come during a flush as well', async (t, { orm, titles }) => {
  let context: EntityManager
  duringFirstFlush(t, orm, () => {
    context.create(Book, { title: 'dropped' })
    context.clear()
    context.create(Book, { title: 'late' })
  })
  await runInContext({ orm }, async () => {
    context = em()
    em().create(Book, { title: 'first' })
    await em().flush()
  })
  t.strictSame(await titles(), ['first', 'late'])
})

onEveryEngine('flushes inside of em.transactional() that wait for one that fails, fail with it', async (t, { orm, titles }) => {
  await runInContext({ orm }, async () => {
    await em().transactional(async inner => {
      inner.create(Book, { title: 'twice' })
      inner.create(Book, { title: 'twice' })
      const [first, second] = await Promise.allSettled([inner.flush(), inner.flush()])
      t.equal(first.status, 'rejected')
      t.equal(second.status, 'rejected')
      throw new Error('no')
    }).catch(() => {})
    em().create(Book, { title: 'kept' })
  })
  t.strictSame(await titles(), ['kept'])
})
