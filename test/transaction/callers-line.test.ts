import { captureLines, commit, em, runInContext, type BegunEvent, type StatementEvent } from '../../index.ts'
import { Author, Book, onEachDatabase } from '../support/databases.ts'
import { collect, here, withLines } from '../support/events.ts'
import { startServer } from '../support/server.ts'

type Ask = (line: { expected?: RegExp }) => Promise<unknown>

const stocked = async (): Promise<unknown> => await em().findOne(Book, { stock: 7 })
const LINE_OF_STOCKED = here(-1)

/** Ways to ask for a statement. Each tells the line that asks. */
const WAYS: Record<string, Ask> = {
  'em.find()': async line => {
    line.expected = here(1)
    await em().find(Book, {}, { populate: ['author'] })
  },
  'what is not awaited at once': async line => {
    line.expected = here(1)
    await Promise.all([em().count(Book), 5])
  },
  'a service that is called': async line => {
    line.expected = LINE_OF_STOCKED
    await stocked()
  },
  'em.insert()': async line => {
    line.expected = here(1)
    await em().insert(Author, { name: String(Math.random()) })
  },
  'em.flush()': async line => {
    em().create(Author, { name: String(Math.random()) })
    line.expected = here(1)
    await em().flush()
  },
  'commit()': async line => {
    em().create(Author, { name: String(Math.random()) })
    line.expected = here(1)
    await commit()
  },
  'em.transactional()': async line => {
    line.expected = here(1)
    await em().transactional(async inner => { inner.create(Author, { name: String(Math.random()) }) })
  },
  'inside em.transactional()': async line => {
    await em().transactional(async inner => {
      line.expected = here(1)
      await inner.find(Book, {})
    })
  },
  'em.execute()': async line => {
    line.expected = here(1)
    await (em() as any).execute('select 1')
  },
  'em.getKysely()': async line => {
    line.expected = here(1)
    await (em() as any).getKysely().selectFrom('book').selectAll().execute()
  },
  'a query builder': async line => {
    line.expected = here(1)
    await (em() as any).createQueryBuilder(Book).getResultList()
  },
  'em.stream()': async line => {
    line.expected = here(1)
    for await (const book of em().stream(Book, {})) if (book === null) return
  }
}

onEachDatabase('each way to ask for a statement leads to the line that asks', async (t, { orm }) => {
  withLines(t)
  const statements = collect(t, 'fastify-context-orm:statement')
  const begun = collect(t, 'fastify-context-orm:begun')
  for (const [way, ask] of Object.entries(WAYS)) {
    for (const begins of [false, true]) {
      statements.length = begun.length = 0
      const line: { expected?: RegExp } = {}
      await runInContext({ orm, transaction: begins ? 'on-query' : 'on-write' }, async () => {
        await ask(line)
        const own = statements.filter(({ kind, line: its }) => (kind === 'read' || kind === 'write') && line.expected!.test(its!))
        t.equal(own.length, 1, `${way}: ${statements.map(({ kind, line }) => `${kind} ${line}`)}`)
      })
      if (begins && way !== 'inside em.transactional()') t.match(begun, [{ line: line.expected, sql: statements.find(({ kind }) => kind !== 'begin')!.sql }], `${way} has begun`)
    }
  }
})

onEachDatabase('nobody has called the flush at the end of a request, and what replies is not taken for it', async (t, { orm }) => {
  withLines(t)
  const statements = collect(t, 'fastify-context-orm:statement')
  const begun = collect(t, 'fastify-context-orm:begun')
  const { post } = await startServer(t, { orm }, app => {
    app.addHook('preSerialization', (_request, _reply, payload, done) => done(null, payload))
    app.post('/return/:title', async request => em().create(Book, { title: (request.params as any).title }))
    app.post('/send/:title', (request, reply) => { reply.send(em().create(Book, { title: (request.params as any).title })) })
    app.post('/string/:title', async request => em().create(Book, { title: (request.params as any).title }).title)
  })
  for (const path of ['/return/Emma', '/send/Persuasion', '/string/Sanditon']) {
    t.equal((await post(path)).status, 200)
    t.match(begun.splice(0), [{ route: path.replace(/\w+$/, ':title'), line: 'flush at the end', sql: /^insert/ }])
    t.match(statements.splice(0).map(({ kind, line }) => [kind, line]), [['begin', 'flush at the end'], ['write', 'flush at the end'], ['commit', undefined]])
  }
})

onEachDatabase('of a job, that is the line of runInContext()', async (t, { orm }) => {
  withLines(t)
  const begun = collect(t, 'fastify-context-orm:begun')
  const line = here(1)
  await runInContext({ orm }, async () => { em().create(Book, { title: 'Emma' }) })
  t.match(begun, [{ line }])
})

onEachDatabase('lines are captured as long as somebody wants them', async (t, { orm }) => {
  const statements = collect(t, 'fastify-context-orm:statement')
  const begun = collect(t, 'fastify-context-orm:begun')
  const lines = async (): Promise<Array<StatementEvent | BegunEvent>> => {
    await runInContext({ orm }, async () => { await em().insert(Author, { name: String(Math.random()) }) })
    return [...statements.splice(0), ...begun.splice(0)].filter(({ line }) => line !== undefined)
  }
  t.strictSame(await lines(), [])
  const stops = [captureLines(), captureLines()]
  t.equal((await lines()).length, 4)
  stops[0]!()
  stops[0]!()
  t.equal((await lines()).length, 4, 'for the other one')
  stops[1]!()
  t.strictSame(await lines(), [])
})

onEachDatabase('a format of stack traces that is no text has no lines', async (t, { orm }) => {
  withLines(t)
  const statements = collect(t, 'fastify-context-orm:statement')
  const { prepareStackTrace } = Error
  t.teardown(() => { Error.prepareStackTrace = prepareStackTrace })
  Error.prepareStackTrace = (_error, sites) => sites.map(() => ({}))
  await runInContext({ orm }, async () => await em().count(Book))
  t.match(statements, [{ kind: 'read', line: undefined }])
})
