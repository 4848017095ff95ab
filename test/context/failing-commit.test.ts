import { UniqueConstraintViolationException } from '@mikro-orm/core'
import { em } from '../../index.ts'
import { Author, Book, onEachPool, onEveryEngine } from '../support/databases.ts'
import { refuseCommits } from '../support/refused-commits.ts'
import { startServer } from '../support/server.ts'

onEveryEngine('a flush that fails reaches the error handler as it is, and writes nothing', async (t, { orm, titles, taken }) => {
  await orm.em.fork().insert(Book, { title: 'Emma' })
  let error: unknown
  const { post } = await startServer(t, { orm }, app => {
    app.setErrorHandler(async (caught, _request, reply) => {
      error = caught
      return reply.code(409).send({ message: 'taken' })
    })
    for (const path of ['/string', '/object']) { // flushed in onSend and in preSerialization
      app.post(path, async () => {
        em().create(Book, { title: 'Persuasion' })
        await em().flush()
        em().create(Book, { title: 'Emma' })
        return path === '/string' ? 'ok' : { ok: true }
      })
    }
  })
  for (const path of ['/string', '/object']) {
    error = undefined
    const response = await post(path)
    t.equal(response.status, 409)
    t.strictSame(await response.json(), { message: 'taken' })
    t.ok(error instanceof UniqueConstraintViolationException)
    t.strictSame(await titles(), ['Emma'])
    t.equal(taken(), 0)
  }
})

onEveryEngine('a commit that the database refuses is the same error, and writes nothing', async (t, database) => {
  const { orm, kind, titles, taken, observe } = database
  const refusal = await refuseCommits(database)
  const before = taken()
  let error: unknown
  const { post } = await startServer(t, { orm }, app => {
    app.setErrorHandler(async (caught, _request, reply) => {
      error = caught
      return reply.code(409).send({ message: 'no such book' })
    })
    app.post('/', async () => {
      em().create(Book, { title: 'Emma' })
      await (em() as any).execute('insert into review (book_id) values (99)')
      return { ok: true }
    })
  })
  const response = await post('/')
  t.equal(response.status, 409)
  t.match(error, { name: refusal.name }, `${kind} ${String(error)}`)
  t.strictSame(await titles(), [])
  t.strictSame(await observe('select * from review'), [])
  t.equal(taken(), before)
  t.equal((await post('/')).status, 409, 'the connection is usable again')
})

onEveryEngine('an error that was caught and passed over is no success', async (t, { orm, titles, taken }) => {
  const { post, log } = await startServer(t, { orm }, app => {
    app.post('/', async () => {
      em().create(Author, { name: 'Jane' })
      await em().insert(Book, { title: 'Emma' })
      try {
        await em().insert(Book, { title: 'Emma' })
      } catch {}
      return { ok: true }
    })
    app.post('/flush', async () => {
      em().create(Author, { name: 'Jane' })
      em().create(Book, { title: 'Emma' })
      em().create(Book, { title: 'Emma' })
      await em().flush().catch(() => {})
      return 'ok'
    })
  })
  for (const path of ['/', '/flush']) {
    const response = await post(path)
    t.equal(response.status, 500)
    const { code } = await response.json() as any
    if (code !== 'FST_ORM_TRANSACTION_FAILED') t.match(log.at(-1)!.err!.message, /current transaction is aborted/, 'PostgreSQL refuses the flush first')
    t.strictSame(await titles(), [])
    t.equal(taken(), 0)
  }
  t.match(log.at(-1)?.err, { code: 'FST_ORM_TRANSACTION_FAILED', message: 'POST /flush sends and commits nothing more' })
})

onEveryEngine('what failed in em.transactional() may be caught', async (t, { orm, titles }) => {
  const { post } = await startServer(t, { orm }, app => {
    app.post('/', async () => {
      await em().insert(Book, { title: 'Emma' })
      try {
        await em().transactional(async em => { await em.insert(Book, { title: 'Emma' }) })
      } catch {
        await em().insert(Book, { title: 'Emma (2)' })
      }
      return 'ok'
    })
  })
  t.equal((await post('/')).status, 200)
  t.strictSame(await titles(), ['Emma', 'Emma (2)'])
})

onEveryEngine('a savepoint that is rolled back forgives nothing from before it', async (t, { orm, titles }) => {
  const { post } = await startServer(t, { orm }, app => {
    app.post('/', async () => {
      await em().insert(Book, { title: 'Emma' })
      await em().insert(Book, { title: 'Emma' }).catch(() => {})
      await em().transactional(async () => { throw new Error('no') }).catch(() => {})
      return 'ok'
    })
  })
  t.match(await (await post('/')).json(), { statusCode: 500, code: 'FST_ORM_TRANSACTION_FAILED' })
  t.strictSame(await titles(), [])
})

onEveryEngine('a transaction that could not begin may be tried again', async (t, { orm, titles, taken }) => {
  let failures = 1
  orm.em.getEventManager().registerSubscriber({ async beforeTransactionStart () { if (failures-- > 0) throw new Error('not yet') } })
  const { post } = await startServer(t, { orm }, app => {
    app.post('/', async () => {
      await em().insert(Book, { title: 'Emma' }).catch(() => {})
      await em().insert(Book, { title: 'Persuasion' })
      return 'ok'
    })
  })
  t.equal((await post('/')).status, 200)
  t.strictSame(await titles(), ['Persuasion'])
  t.equal(taken(), 0)
})

onEachPool('a connection that dies before the commit makes the request fail, and does not leak', async (t, { orm, ownId, kill, titles, taken }) => {
  const victims: number[] = []
  const { post, log } = await startServer(t, { orm }, app => {
    app.post('/:when', async (request) => {
      const { when } = request.params as { when: string }
      await em().insert(Book, { title: when })
      const [{ id }] = await (em() as any).execute(ownId)
      victims.push(id)
      await kill(id)
      if (when === 'rollback') throw new Error('before the rollback')
      if (when === 'statement') await em().insert(Book, { title: 'too late' })
      return { ok: true }
    })
  })
  for (let round = 0; round < 3; round++) {
    for (const when of ['commit', 'rollback', 'statement']) {
      t.equal((await post(`/${when}`)).status, when === 'rollback' ? 500 : 503, when)
      t.equal(taken(), 0, when)
    }
  }
  t.equal(new Set(victims).size, 9)
  t.strictSame(await titles(), [])
  t.match(log.filter(line => /the rollback has failed/.test(line.msg))[0], { level: 50, msg: 'POST /:when: the rollback has failed' })
})
