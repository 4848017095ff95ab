import { get as httpGet } from 'node:http'
import type { SqlEntityManager } from '@mikro-orm/sql'
import t from 'tap'
import { em } from '../../index.ts'
import { Book, onPostgres } from '../support/databases.ts'
import { hasPgBouncer, startPgBouncer } from '../support/pgbouncer.ts'
import { startServer } from '../support/server.ts'
import { until } from '../support/until.ts'

const sql = (): SqlEntityManager => em() as unknown as SqlEntityManager
const SLEEPING = "select 1 from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'"

if (hasPgBouncer) {
  onPostgres('through PgBouncer, a client that leaves cancels its statement, and what is committed is there', async (t, { orm, another, observe, titles }) => {
    const bouncer = await startPgBouncer(new URL(orm.config.get('clientUrl')!))
    t.teardown(() => bouncer.stop())
    const pooled = await another({ clientUrl: bouncer.url })
    const { app, post } = await startServer(t, { orm: pooled }, app => {
      app.get('/read', async () => await sql().execute('select count(*) from generate_series(1, 1000000000)'))
      app.get('/write', async () => {
        await em().insert(Book, { title: 'taken back' })
        await sql().execute('select pg_sleep(60)')
      })
      app.post('/', async () => em().create(Book, { title: 'Emma' }))
    })
    for (const [path, running] of Object.entries({ '/read': "select 1 from pg_stat_activity where datname = current_database() and query like '%generate_series%' and pid <> pg_backend_pid() and state = 'active'", '/write': SLEEPING })) {
      const request = httpGet(app.listeningOrigin + path).on('error', () => {})
      await until(async () => (await observe(running)).length === 1)
      request.destroy()
      await until(async () => (await observe(running)).length === 0)
    }
    t.match(await (await post('/')).json(), { title: 'Emma' })
    t.strictSame(await titles(), ['Emma'])
  })
} else {
  t.test('through PgBouncer, a client that leaves cancels its statement', { skip: 'there is no pgbouncer on the path' }, () => {})
}
