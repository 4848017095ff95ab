import type { Kysely, SqlEntityManager } from '@mikro-orm/sql'
import { em } from '../../index.ts'
import { Book, onEachDatabase } from '../support/databases.ts'
import { startServer } from '../support/server.ts'

function sql (): SqlEntityManager {
  return em() as unknown as SqlEntityManager
}

onEachDatabase('Kysely and query builders are in the transaction of the context', async (t, { orm, titles, sent }) => {
  const { post } = await startServer(t, { orm }, app => {
    app.post('/:end', async request => {
      const kysely = sql().getKysely() as Kysely<any>
      t.equal(kysely.isTransaction, true)
      t.strictSame(await kysely.selectFrom('book').selectAll().execute(), [])
      await kysely.insertInto('book').values({ title: 'Kysely' }).execute()
      await sql().getKysely({ tableNamingStrategy: 'entity' } as any).insertInto('Book' as never).values({ title: 'with a plugin' } as never).execute()
      await sql().createQueryBuilder(Book).insert({ title: 'query builder' }).execute()
      t.equal((await kysely.selectFrom('book').select('title').execute()).length, 3)
      t.equal(await sql().createQueryBuilder(Book).getCount(), 3)
      if ((request.params as any).end === 'throw') throw new Error('no')
      return 'ok'
    })
  })
  t.equal((await post('/throw')).status, 500)
  t.strictSame(await titles(), [])
  sent.length = 0
  t.equal((await post('/return')).status, 200)
  t.strictSame(await titles(), ['Kysely', 'query builder', 'with a plugin'])
  t.match(sent[0], /^select/)
  t.equal(sent[1], 'begin')
  t.equal(sent.at(-1), 'commit')
})

onEachDatabase('what would begin a second transaction, or end the database, is an error that says so', async (t, { orm, titles, taken }) => {
  const { post } = await startServer(t, { orm }, app => {
    app.post('/', async () => {
      const kysely = sql().getKysely() as Kysely<any>
      t.throws(() => kysely.transaction(), /transaction\(\) would begin another: use em\.transactional\(\)/)
      t.throws(() => kysely.startTransaction(), /startTransaction\(\) would begin another/)
      t.throws(() => kysely.connection(), /connection\(\) would begin another/)
      t.throws(() => kysely.destroy(), /cannot be destroyed/)
      await t.rejects(kysely.withSchema('x').transaction().execute(async () => {}), /would begin another/)
      await t.rejects(kysely.withSchema('x').destroy(), /cannot be destroyed/)
      return 'ok'
    })
  })
  t.equal((await post('/')).status, 200)
  t.strictSame(await titles(), [])
  t.equal(taken(), 0)
})

onEachDatabase('the transaction context commits and rolls back like one of Kysely\'s own', async (t, { orm, titles }) => {
  const { post } = await startServer(t, { orm }, app => {
    app.post('/', async () => {
      const trx: any = em().getTransactionContext()
      const tables = async (): Promise<string[]> => (await trx.introspection.getTables()).map((table: any) => table.name)
      t.ok((await tables()).includes('book'))
      await em().insert(Book, { title: 'committed' })
      t.ok((await tables()).includes('book'), 'also in the transaction, where SQLite has no second connection')
      await trx.commit().execute()
      t.strictSame(await titles(), ['committed'])
      await em().insert(Book, { title: 'rolled back' })
      await trx.rollback().execute()
      t.equal(trx.isRolledBack, false)
      return 'ok'
    })
  })
  t.equal((await post('/')).status, 200)
  t.strictSame(await titles(), ['committed'])
})
