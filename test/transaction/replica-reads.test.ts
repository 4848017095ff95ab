import { setTimeout } from 'node:timers/promises'
import { TransactionPropagation } from '@mikro-orm/core'
import { afterCommit, atomic, commit, em, runInContext, type RunOptions } from '../../index.ts'
import { Book, onEachPool } from '../support/databases.ts'
import { isOnReplica, withReplica } from '../support/replica-without-tables.ts'
import { startServer } from '../support/server.ts'
import { until } from '../support/until.ts'

const write = (): Promise<unknown> => em().insert(Book, { title: 'Emma' })
const count = (): Promise<number> => em().count(Book)

/** What a context does with what it writes; each of them commits it, or has somebody do so. */
const WRITES: Record<string, () => Promise<unknown>> = {
  'commit()': async () => {
    await write()
    await commit()
  },
  'atomic()': () => atomic(write),
  'a branch': () => runInContext(write),
  'a branch of a branch': () => runInContext(() => runInContext(write)),
  REQUIRES_NEW: () => em().transactional(inner => inner.insert(Book, { title: 'Emma' }), { propagation: TransactionPropagation.REQUIRES_NEW }),
  NOT_SUPPORTED: () => em().transactional(inner => inner.insert(Book, { title: 'Emma' }), { propagation: TransactionPropagation.NOT_SUPPORTED }),
  'a branch with transaction: false': () => runInContext({ transaction: false }, write)
}

/** And how it reads then. */
const READS: Record<string, () => Promise<number>> = {
  'a read': count,
  'a branch': () => runInContext(count),
  'a branch with transaction: false': () => runInContext({ transaction: false }, count),
  'a branch with readOnly': () => runInContext({ readOnly: true }, count),
  'a stream': async () => {
    let rows = 0
    for await (const book of em().stream(Book, {})) rows += Number(book !== undefined)
    return rows
  },
  NOT_SUPPORTED: () => em().transactional(inner => inner.count(Book), { propagation: TransactionPropagation.NOT_SUPPORTED })
}

onEachPool('reads of a context and its branches follow its writes, and those of its branches', async (t, database) => {
  const orm = await withReplica(database)
  await runInContext({ orm }, async () => {
    for (const [name, read] of Object.entries(READS)) await isOnReplica(t, read, `${name} before any write`)
  })
  for (const [name, written] of Object.entries(WRITES)) {
    await runInContext({ orm }, async () => {
      await written()
      for (const [how, read] of Object.entries(READS)) t.equal(await read(), 1, `${how} after ${name}`)
      await em().nativeDelete(Book, {})
    })
  }
})

onEachPool('hooks after the commit read what was committed, and so do the branches that they open', async (t, database) => {
  const orm = await withReplica(database)
  const seen: unknown[] = []
  const { post } = await startServer(t, { orm }, app => {
    app.post('/', async () => {
      afterCommit(async () => {
        seen.push(await count(), await runInContext(count))
        await runInContext(() => em().insert(Book, { title: 'Persuasion' }))
        seen.push(await count())
      })
      await write()
      return 'ok'
    })
  })
  t.equal((await post('/')).status, 200)
  t.strictSame(seen, [1, 1, 2])
})

onEachPool('with transaction: false, reads follow flushes and other writes', async (t, database) => {
  const orm = await withReplica(database)
  const options: RunOptions = { orm, transaction: false }
  await runInContext(options, async () => {
    await isOnReplica(t, count, 'a read before any write')
    em().create(Book, { title: 'Emma' })
    await em().flush()
    t.equal(await count(), 1)
    t.equal(await em().count(Book, {}, { connectionType: 'read' }), 1, 'also if a replica is asked for')
    t.equal(await runInContext(count), 1)
  })
  await runInContext(options, async () => {
    await em().nativeUpdate(Book, {}, { stock: 1 })
    t.equal(await count(), 1)
  })
})

onEachPool('what is left behind when its context is over reads from replicas again', async (t, database) => {
  const orm = await withReplica(database)
  const late = Promise.withResolvers<void>()
  await runInContext({ orm }, async () => {
    await write()
    setTimeout(1).then(() => late.promise).then(() => runInContext({ orm }, count)).then(late.reject, (error: Error) => failed.resolve(error.message))
  })
  const failed = Promise.withResolvers<string>()
  late.resolve()
  t.match(await failed.promise, /exist/)
})

onEachPool('a replica is not asked for what commits by itself', async (t, database) => {
  const orm = await withReplica(database)
  await runInContext({ orm }, async () => {
    await (em() as any).execute('create table later (id int)')
    t.strictSame(await (em() as any).execute('select id from later'), [])
  })
})

onEachPool('replica: false reads from the primary only', async (t, database) => {
  const orm = await withReplica(database)
  for (const transaction of ['on-write', false] as const) {
    await runInContext({ orm, transaction, replica: false }, async () => t.equal(await count(), 0))
  }
  await runInContext({ orm, readOnly: true, replica: false }, async () => t.equal(await count(), 0))
  const { get } = await startServer(t, { orm }, app => {
    app.get('/', async () => await count())
    app.get('/primary', { config: { orm: { replica: false } } }, async () => await count())
  })
  t.equal((await get('/')).status, 500)
  t.equal(await (await get('/primary')).text(), '0')
})

onEachPool('a context that is readOnly takes its snapshot of a replica, unless that has to be serializable', async (t, database) => {
  const orm = await withReplica(database)
  await isOnReplica(t, () => runInContext({ orm, readOnly: true }, count), 'readOnly')
  await isOnReplica(t, () => runInContext({ orm, readOnly: true, isolationLevel: 'repeatable read' }, count), 'repeatable read')
  t.equal(await runInContext({ orm, readOnly: true, isolationLevel: 'serializable' }, count), 0)
  await until(() => database.taken() === 0) // that of its heartbeat as well
})

onEachPool('the log says on which server a statement ran', async (t, database) => {
  const log: string[] = []
  const orm = await withReplica(database, {
    debug: ['query'], colors: false, highlighter: undefined, logger: (message: string) => { log.push(message) }
  })
  const viaOf = async (run: () => Promise<unknown>): Promise<string[]> => {
    log.length = 0
    await run().catch(() => {})
    return log.map(message => /(\w+).*via (\w+) connection/s.exec(message.replace('[query] ', ''))!.slice(1).join(' '))
  }
  const one = (): Promise<unknown> => (em() as any).execute('select 1 as one')
  const { 'a stream': stream } = READS as Record<string, () => Promise<number>>
  const run = (options: RunOptions, work: () => Promise<unknown>) => (): Promise<unknown> => runInContext({ orm, ...options }, work)
  t.strictSame(await viaOf(run({}, one)), ['select read'])
  t.strictSame(await viaOf(run({}, stream!)), ['select read', 'select read'], 'and that it has failed there')
  t.strictSame(await viaOf(run({ replica: false }, stream!)), ['select write'])
  t.strictSame(await viaOf(run({ replica: false }, one)), ['select write'])
  t.strictSame((await viaOf(run({ readOnly: true }, one))).slice(1), ['select read', 'commit read'])
  t.strictSame(await viaOf(run({}, async () => {
    await write()
    await one()
  })), ['begin write', 'insert write', 'select write', 'commit write'])
})
