import { em } from '../index.ts'
import { Book, onPostgres } from './support/databases.ts'
import { startServer } from './support/server.ts'
import { until } from './support/until.ts'

/** Kysely 0.29.6 never finishes closing a pool that is opening a connection at the moment. */
onPostgres('closing the app waits for what requests that have failed have left running', async (t, { another, orm, observe }) => {
  const { app, get } = await startServer(t, { orm: () => another() }, app => {
    app.get('/reads', async () => await Promise.all([em().count(Book), (em() as any).execute('select no_such_column')]))
    app.get('/write', { handlerTimeout: 100 }, async () => {
      await em().insert(Book, { title: 'Emma' })
      await (em() as any).execute('select pg_sleep(0.5)')
    })
  })
  t.equal((await get('/reads')).status, 500)
  t.equal((await get('/write')).status, 503)
  await app.close()
  const connections = "select 1 from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and query like '%pg_sleep%'"
  await until(async () => (await observe(connections)).length === 0)
  t.strictSame(await observe('select title from book'), [])
  await orm.close()
})
