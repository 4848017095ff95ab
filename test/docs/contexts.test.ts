import Fastify from 'fastify'
import { join } from 'node:path'
import t from 'tap'
import contextOrm, { em, runInContext } from '../../index.ts'
import { writeSnippets } from '../support/docs.ts'

const { folder, load } = await writeSnippets(t)

t.test('what the docs say of contexts is so', async t => {
  const { orm, Book } = await load('orm.ts')
  t.teardown(() => orm.close())
  await orm.schema.drop()
  await orm.schema.create()
  const titles = async (): Promise<string[]> => (await orm.em.fork().find(Book, {}, { orderBy: { title: 'asc' } }) as any[]).map(book => book.title)

  await orm.em.fork().insertMany(Book, [{ title: 'Emma', stock: 0 }, { title: 'Persuasion' }])
  t.equal(await (await load('restock.ts')).restock(), 1)
  t.equal(await orm.em.fork().count(Book, { stock: 3 }), 2)

  const { dashboard, noteAttempt } = await load('dashboard.ts')
  t.strictSame(await runInContext({ orm }, dashboard), { books: 2, missing: 0, first: 'Emma' })
  await t.rejects(runInContext({ orm }, async () => {
    await noteAttempt('Emma')
    throw new Error('no')
  }), { message: 'no' })
  t.strictSame(await titles(), ['Emma', 'Persuasion', 'attempt: Emma'])

  const { addInBatches } = await load('in-batches.ts')
  t.equal(await runInContext({ orm }, () => addInBatches([['a', 'b'], ['c', 'a'], ['d']])), 1)
  t.strictSame(await titles(), ['Emma', 'Persuasion', 'a', 'attempt: Emma', 'b', 'd'])

  const { orderByMail } = await load('charge.ts')
  await t.rejects(runInContext({ orm }, () => orderByMail(1, async () => { throw new Error('no mail') })), { message: 'no mail' })
  t.equal((await orm.em.fork().findOne(Book, { title: 'Emma' })).stock, 2)

  const { publish } = await load('welcome.ts')
  const told: string[] = []
  const tell = (what: string) => async (title: string) => { told.push(`${what} ${title}`) }
  await runInContext({ orm }, () => publish('e', tell('mailed'), tell('removed')))
  await t.rejects(runInContext({ orm }, () => publish('e', tell('mailed'), tell('removed'))))
  t.strictSame(told, ['mailed e', 'removed e'])

  const app = Fastify()
  t.teardown(() => app.close())
  app.register(contextOrm, { orm, beforeCommit: (await load('audit.ts')).audit })
  app.post('/', async () => { em().create(Book, { title: 'audited' } as any); return 'ok' })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
  t.ok((await titles()).includes('audit of req-1'))

  const lines: string[] = []
  ;(await load('watch.ts')).watch((line: string) => lines.push(line))
  await app.inject({ method: 'POST', url: '/' })
  t.match(lines, [/^POST \/: rolledBack \(error\) in \d+ ms$/])

  const handle = await (await load('moving.ts')).openMoving(join(folder, 'first.sqlite'), join(folder, 'second.sqlite'))
  t.teardown(() => handle.close())
  t.equal(handle.host, join(folder, 'second.sqlite'))
  t.equal(await runInContext({ orm: handle }, () => em().count(Book)), 0)
})
