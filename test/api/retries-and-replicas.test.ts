import type { Test } from 'tap'
import { atomic, commit, em, runInContext, type ContextOrmOptions, type RunOptions } from '../../index.ts'
import { conflict } from '../support/conflict.ts'
import { Book, onEachPool, onMariadb } from '../support/databases.ts'
import { isOnReplica, withReplica } from '../support/replica-without-tables.ts'
import { startServer } from '../support/server.ts'

const LATE = new Error('an OptimisticLockError, for example')
const retry: RunOptions['retry'] = { attempts: 3, when: error => error === LATE, delay: () => 0 }

const count = (): Promise<number> => em().count(Book)
const insert = (title: string): Promise<unknown> => em().insert(Book, { title })

/** Has its first attempt read on the replica, and fail. */
function failingOnce<T> (t: Test, work: () => Promise<T>): () => Promise<T> {
  let runs = 0
  return async () => {
    if (++runs > 1) return await work()
    await isOnReplica(t, count, 'the first attempt')
    throw LATE
  }
}

onEachPool('an attempt that is made again reads from the primary, which has what was in the way, and the next work from replicas', async (t, database) => {
  const orm = await withReplica(database)
  for (const options of [{}, { readOnly: true }, { isolationLevel: 'repeatable read', readOnly: true }] satisfies RunOptions[]) {
    const read = async (): Promise<number[]> => [await count(), await runInContext(count)]
    t.strictSame(await runInContext({ orm, retry, ...options }, failingOnce(t, read)), [0, 0], JSON.stringify(options))
    await isOnReplica(t, () => runInContext({ orm, ...options }, count), 'the next one')
  }
  await runInContext({ orm }, async () => {
    t.equal(await atomic(failingOnce(t, count), { retry }), 0)
    t.equal(await count(), 0, 'and so does the context around it')
  })
  await runInContext({ orm }, async () => {
    t.equal(await runInContext({ retry }, failingOnce(t, count)), 0)
    t.equal(await count(), 0)
  })
  t.equal(database.taken(), 0)
})

onEachPool('a handler that is run again reads from the primary', async (t, database) => {
  const { get } = await startServer(t, { orm: await withReplica(database) }, app => {
    let runs = 0
    app.get('/', { config: { orm: { retry } } }, async () => {
      if (++runs > 1) return await count()
      await isOnReplica(t, count, 'the first attempt')
      throw LATE
    })
  })
  t.equal(await (await get('/')).text(), '0')
})

onEachPool('with replica: false, the first attempt does as well', async (t, database) => {
  const orm = await withReplica(database)
  t.equal(await runInContext({ orm, replica: false, retry }, count), 0)
  t.equal(await runInContext({ orm, replica: false }, () => atomic(count, { retry })), 0)
  await isOnReplica(t, () => runInContext({ orm, retry }, count), 'without it')
  const { get } = await startServer(t, { orm }, app => {
    app.get('/', { config: { orm: { replica: false, retry } } }, count)
    app.get('/atomic', { config: { orm: { replica: false } } }, async () => await atomic(count, { retry }))
  })
  for (const path of ['/', '/atomic']) t.equal(await (await get(path)).text(), '0', path)
})

interface Transport {
  replicas: ContextOrmOptions['replicas']
  /** What replies were given, in turn. */
  tokens: string[]
}

function transport (): Transport {
  const tokens: string[] = []
  return { tokens, replicas: { secret: 'of the test', readYourWrites: { get: request => request.headers.token as string | undefined, set: (_reply, token) => tokens.push(token) } } }
}

/** Names and positions, without the time and the signature. */
function positionsIn (token: string): Map<string, string> {
  const parts = token.split('~').slice(1, -1)
  return new Map(parts.flatMap((name, i) => i % 2 === 0 ? [[name, parts[i + 1]!]] : []))
}

onEachPool('a reply has the token of the attempt that has committed, and none of those that have failed', async (t, { orm, kind, titles }) => {
  const { tokens, replicas } = transport()
  const { post } = await startServer(t, { orm, replicas }, app => {
    let runs = 0
    app.post('/', { config: { orm: { retry } } }, async () => {
      await insert(`of ${++runs}`)
      if (runs < 3) await conflict(kind)
      return 'ok'
    })
    app.post('/fails', { config: { orm: { retry } } }, async () => {
      await insert('never')
      await conflict(kind)
    })
  })
  t.equal((await post('/fails')).status, 503)
  t.strictSame(tokens, [])
  t.equal((await post('/')).status, 200)
  t.equal(tokens.length, 1)
  t.match(positionsIn(tokens[0]!).get('default'), kind === 'mariadb' ? /^(?:\d+-\d+-\d+|\?)$/ : /^[0-9a-f.]+$/)
  t.strictSame(await titles(), ['of 3'])
})

onEachPool('what hooks have committed before the handler, and what the client has brought, is in the token of the last attempt', async (t, { orm, another, kind }) => {
  const { tokens, replicas } = transport()
  const others = await Promise.all(['hook', 'client'].map(contextName => another({ contextName })))
  const { app, post } = await startServer(t, { orm: [orm, ...others], replicas }, app => {
    app.post('/client', async () => await em('client').insert(Book, { title: 'of the client' }))
    app.post('/', {
      config: { orm: { retry } },
      preHandler: async () => { await runInContext(() => em('hook').insert(Book, { title: 'of the hook' })) }
    }, async () => {
      await em().insert(Book, { title: 'of the handler' })
      if (tokens.length < 3) await conflict(kind).finally(() => tokens.push('an attempt'))
      return await count()
    })
  })
  await (await post('/client')).text()
  const reply = await fetch(`${app.listeningOrigin}/`, { method: 'POST', headers: { token: tokens[0]! } })
  t.equal(await reply.text(), '3')
  t.strictSame(tokens[2], 'an attempt')
  t.strictSame([...positionsIn(tokens[1]!).keys()].sort(), ['client', 'hook'])
  t.strictSame([...positionsIn(tokens.at(-1)!).keys()].sort(), ['client', 'default', 'hook'])
})

onEachPool('a job with `after` and `retry` sees that much, and its token stands for what the last attempt has committed', async (t, database) => {
  const { kind, titles } = database
  const orm = await withReplica(database)
  await startServer(t, { orm, replicas: { ...transport().replicas!, wait: 10_000 } }, () => {}) // so that there are tokens
  const after = await runInContext({ orm }, async () => {
    await insert('before')
    return await commit()
  })
  let runs = 0
  const token = await runInContext({ orm, after, retry }, async () => {
    runs++
    if (runs === 1 && kind === 'postgresql') await isOnReplica(t, count, 'it is there')
    if (runs === 1) throw LATE
    t.equal(await count(), 1)
    await insert(`of ${runs}`)
    if (runs === 2) await conflict(kind)
    return await commit()
  })
  t.equal(runs, 3)
  t.strictSame(await titles(), ['before', 'of 3'])
  t.match(positionsIn(token!).get('default'), kind === 'mariadb' ? /^(?:\d+-\d+-\d+|\?)$/ : /^[0-9a-f.]+$/)
  if (kind === 'postgresql') t.not(positionsIn(token!).get('default'), positionsIn(after!).get('default'))
})

onMariadb('what commits by itself would be done twice, and is not run again', async (t, { orm, kind, observe }) => {
  let runs = 0
  await t.rejects(runInContext({ orm, retry }, async () => {
    await (em() as any).execute(`create table later_${++runs} (id int)`)
    await conflict(kind)
  }), { code: 'FST_ORM_NOT_RETRIABLE' })
  t.equal((await observe("show tables like 'later%'")).length, 1)
})
