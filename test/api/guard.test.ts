import { readFile } from 'node:fs/promises'
import { em, runInContext } from '../../index.ts'
import { Book, onEachDatabase, onSqlite } from '../support/databases.ts'
import { startServer } from '../support/server.ts'

/** The text of the line of this file that an error leads to. */
const source = (await readFile(import.meta.filename, 'utf8')).split('\n')
function lineOf (error: Error): string | undefined {
  const [, line] = /guard\.test\.ts:(\d+)/.exec(error.stack!) ?? []
  return line === undefined ? undefined : source[Number(line) - 1]!.trim()
}

const WRITES: Record<string, () => Promise<unknown>> = {
  insert: async () => await em().insert(Book, { title: 'late' }),
  'native update': async () => await em().nativeUpdate(Book, {}, { stock: 0 }),
  'raw SQL': async () => await (em() as any).execute("insert into book (title) values ('late')"),
  'query builder': async () => await (em() as any).createQueryBuilder(Book).insert({ title: 'late' }).execute(),
  kysely: async () => await (em() as any).getKysely().insertInto('book').values({ title: 'late' }).execute(),
  flush: async () => {
    em().create(Book, { title: 'late' })
    await em().flush()
  },
  transactional: async () => await em().transactional(async inner => { inner.create(Book, { title: 'late' }) }),
  begin: async () => await em().begin()
}

function expectedLine (name: string): string {
  if (name === 'flush') return 'await em().flush()'
  return name.includes(' ') ? `'${name}': async` : `${name}: async`
}

onEachDatabase('an error of misuse names the context and what it tried, and its stack leads to the caller\'s line', async (t, { orm }) => {
  const go = Promise.withResolvers<void>()
  let late: Promise<void> | undefined
  await runInContext({ orm, name: 'nightly job' }, () => {
    em()
    late = go.promise.then(async () => {
      for (const [name, write] of Object.entries(WRITES)) {
        const error: any = await write().catch(error => error)
        t.match(error, { code: 'FST_ORM_CONTEXT_ENDED', message: /^nightly job has ended \(.*\), which is too late for this: .*runInContext\(\)/ }, name)
        t.match(lineOf(error), expectedLine(name), name)
      }
    })
  })
  go.resolve()
  await late
  await runInContext({ orm, name: 'report', readOnly: true }, async () => {
    for (const name of ['insert', 'native update', 'raw SQL', 'query builder', 'kysely'] as const) {
      const error: any = await WRITES[name]!().catch(error => error)
      t.match(error, { code: 'FST_ORM_READ_ONLY', message: /^report is readOnly and cannot write, got: (insert|update)/ }, name)
      t.match(lineOf(error), expectedLine(name), name)
    }
  })
  let outside: any
  try { em() } catch (error) { outside = error }
  t.match(lineOf(outside), 'try { em() }')
})

onSqlite('a wait that would never end leads to the caller\'s line as well', async (t, { orm }) => {
  const { get } = await startServer(t, { orm }, app => {
    app.get('/', async () => {
      await em().insert(Book, { title: 'outer' })
      await runInContext(async function audit () {
        const error: any = await WRITES.insert!().catch(error => error)
        t.match(error, { code: 'FST_ORM_SINGLE_CONNECTION', message: /^audit needs a connection.* GET \/, around it/ })
        t.match(lineOf(error), 'insert: async')
      })
      return 'ok'
    })
  })
  t.equal((await get('/')).status, 200)
})
