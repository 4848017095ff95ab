import fc from 'fast-check'
import t, { type Test } from 'tap'
import type { Dialect } from '../../lib/drivers/dialect.ts'
import { isRead } from '../../lib/sql/is-read.ts'
import { notAskedFor } from '../support/asked-engines.ts'
import { withoutMariadb, withoutPostgres } from '../support/without-servers.ts'
import type { TriedDatabase, TriedDialect } from './statements/database.ts'
import { mariadb, mariadbAsOracle } from './statements/mariadb.ts'
import { postgresql } from './statements/postgresql.ts'
import { sqlite } from './statements/sqlite.ts'

/** Of the statements, not of what the database makes of them. STATEMENTS_RUNS=100000 tries more of them. */
const { STATEMENTS_SEED, STATEMENTS_RUNS } = process.env
const SEED = STATEMENTS_SEED === undefined ? {} : { seed: Number(STATEMENTS_SEED) }
const RUNS = Number(STATEMENTS_RUNS ?? 3000)

const ENGINES: Array<readonly [name: string, dialect: Dialect, engine: TriedDialect, without: string | false]> = [
  ['SQLite', 'sqlite', sqlite, notAskedFor('sqlite')], ['PostgreSQL', 'postgresql', postgresql, withoutPostgres], ['MariaDB', 'mysql', mariadb, withoutMariadb],
  ['MariaDB, in Oracle mode', 'mysql', mariadbAsOracle, withoutMariadb]
]

function onEachDialect (name: string, run: (t: Test, dialect: Dialect, engine: TriedDialect, database: TriedDatabase) => Promise<void>): void {
  for (const [engineName, dialect, engine, skip] of ENGINES) {
    t.test(`${name} (${engineName})`, { skip }, async t => {
      const database = await engine.open()
      t.teardown(() => database.close())
      await run(t, dialect, engine, database)
    })
  }
}

onEachDialect('whatever is called a read changes nothing, as the database tells it', async (t, dialect, { statements }, database) => {
  let reads = 0
  let run = 0
  const result = await fc.check(fc.asyncProperty(statements, async sql => {
    if (!isRead(sql, dialect)) return
    reads++
    const { isRefused, changes } = await database.try(sql)
    if (!isRefused) run++
    if (changes.length > 0) throw new Error(`${changes.join(', ')}: ${sql}`)
  }), { numRuns: RUNS, ...SEED })
  t.comment(`${result.numRuns} statements, of which ${reads} are called reads and ${run} were run`)
  t.equal(result.failed && `${(result.errorInstance as Error).message}\nSTATEMENTS_SEED=${result.seed}`, false)
  t.ok(run > RUNS / 8, `${run} reads are enough to say so`)
})

onEachDialect('what changes something is seen, and called no read', async (t, dialect, { writes }, database) => {
  for (const sql of writes) {
    const { isRefused, changes } = await database.try(sql)
    t.equal(isRead(sql, dialect), false, sql)
    t.ok(!isRefused && changes.length > 0, `${sql}: ${changes.join(', ')}`)
  }
})
