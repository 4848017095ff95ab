import { Book, onPostgres } from '../support/databases.ts'
import { CONTENDED, openTransactions, startLoad } from '../support/load.ts'
import { startPgBouncer, withoutPgBouncer } from '../support/pgbouncer.ts'
import { watchStrayErrors } from '../support/stray-errors.ts'
import { terminateWhen } from '../support/terminate.ts'
import { assertPoolIsWhole } from '../support/whole-pool.ts'

const POOL = 5

onPostgres('a PgBouncer that is killed under load and comes back, and connections that die behind it', async (t, database) => {
  const { orm, another, observe } = database
  const assertNoStrayErrors = watchStrayErrors(t)
  const url = orm.config.get('clientUrl')!
  const bouncer = await startPgBouncer(new URL(url), ['default_pool_size=4', 'server_login_retry=1'])
  t.teardown(() => bouncer.stop())
  await orm.em.fork().insert(Book, { title: CONTENDED, stock: 0 })
  const pooled = await another({ clientUrl: bouncer.url })
  const load = await startLoad(t, [pooled], 16)
  const untilWell = (): Promise<void> => load.until(100, ({ status }) => status === 200)
  await untilWell()
  for (let round = 0; round < 2; round++) {
    await bouncer.kill()
    await load.until(50, ({ status }) => status === 503)
    await bouncer.start()
    await untilWell()
  }
  for (let round = 0; round < 5; round++) {
    await terminateWhen(database, ({ sql, isInTransaction }) => sql === null && isInTransaction)
    await load.until(10, ({ status }) => status === 200)
  }
  const ledger = await load.stop()

  const rows = await observe('select title, stock from book')
  const titles = rows.map(({ title }) => title)
  t.strictSame(ledger.compare(titles.filter(title => title !== CONTENDED)), [])
  t.equal(rows.find(({ title }) => title === CONTENDED).stock, titles.filter(title => title.endsWith('-0 first')).length)
  t.ok([...ledger.verdicts.values()].includes('refused'))
  await assertPoolIsWhole(pooled, POOL)
  await openTransactions(pooled, 4)
  await assertNoStrayErrors()
}, { skip: withoutPgBouncer })
