import { once } from 'node:events'
import type { SqlEntityManager } from '@mikro-orm/sql'
import { em, runInContext } from '../../index.ts'
import { Book, onPostgres } from '../support/databases.ts'
import { startPgBouncer, withoutPgBouncer } from '../support/pgbouncer.ts'
import { startServer, type LogLine } from '../support/server.ts'

const REQUESTS = 100
const warnings = (log: LogLine[]): string[] => log.map(({ msg }) => msg).filter(msg => msg.includes("sessionContext: 'connection'"))
const sql = (): SqlEntityManager => em() as unknown as SqlEntityManager

onPostgres("sessionContext: 'connection' through PgBouncer gives requests the settings of others, and is warned of once", async (t, { orm, another, unconnected }) => {
  const bouncer = await startPgBouncer(new URL(orm.config.get('clientUrl')!), ['default_pool_size=2'])
  t.teardown(() => bouncer.stop())
  const pooled = await unconnected({ clientUrl: bouncer.url, sessionContext: 'connection' })
  const { get, log } = await startServer(t, { orm: pooled }, app => {
    app.get('/:tenant', async request => {
      const { tenant } = request.params as { tenant: string }
      em().setSessionContext({ variables: { 'app.tenant': tenant } })
      const [{ seen }] = await sql().execute<any[]>("select current_setting('app.tenant', true) as seen")
      return { isWrong: seen !== tenant }
    })
  })
  const seen = await Promise.all(Array.from({ length: REQUESTS }, async (_, i) => await (await get(`/${i}`)).json() as { isWrong: boolean }))
  const wrong = seen.filter(({ isWrong }) => isWrong).length
  t.comment(`${wrong} of ${REQUESTS} requests saw another tenant`)
  t.ok(wrong > 0)
  t.equal(warnings(log).length, 1)
  t.match(warnings(log)[0], /^The database "default": .*PgBouncer/)

  const warned = once(process, 'warning')
  await runInContext({ orm: await another({ clientUrl: bouncer.url, sessionContext: 'connection' }) }, () => em().insert(Book, { title: 'written' }))
  t.match((await warned)[0], { name: 'FastifyContextOrmWarning', message: /^The database "default": sessionContext: 'connection'/ })
}, { skip: withoutPgBouncer })

onPostgres("sessionContext: 'connection' without a pooler, and without the option, are nothing to warn of", async (t, { orm, another, unconnected }) => {
  const bouncer = await startPgBouncer(new URL(orm.config.get('clientUrl')!))
  t.teardown(() => bouncer.stop())
  for (const used of [await unconnected({ sessionContext: 'connection' }), await another({ clientUrl: bouncer.url })]) {
    const { get, log } = await startServer(t, { orm: used }, app => {
      app.get('/', async () => ({ count: await em().count(Book) }))
    })
    t.equal((await get('/')).status, 200)
    t.strictSame(log, [])
  }
}, { skip: withoutPgBouncer })

onPostgres('a server that cannot be asked whether it is a pooler fails the statement, and is asked by the next one', async (t, { orm, unconnected }) => {
  const bouncer = await startPgBouncer(new URL(orm.config.get('clientUrl')!))
  t.teardown(() => bouncer.stop())
  const { get, log } = await startServer(t, { orm: await unconnected({ clientUrl: bouncer.url, sessionContext: 'connection' }) }, app => {
    app.get('/', async () => ({ count: await em().count(Book) }))
  })
  await bouncer.kill()
  t.equal((await get('/')).status, 503)
  t.strictSame(warnings(log), [])
  await bouncer.start()
  t.equal((await get('/')).status, 200)
  t.equal(warnings(log).length, 1)
}, { skip: withoutPgBouncer })
