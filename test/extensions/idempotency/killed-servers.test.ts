import t from 'tap'
import { notAskedFor } from '../../support/asked-engines.ts'
import { hasMariadb, startMariadb } from '../../support/mariadb-server.ts'
import { startPostgres } from '../../support/postgres-server.ts'
import { runKilled } from './killed/run-killed.ts'
import { summarize } from './killed/summary.ts'

const SECONDS = 10

const withoutMariadb = notAskedFor('mariadb') || (!hasMariadb && 'needs mariadbd on the path')

t.test('servers that are killed in any moment: each key has one row, and one reply (PostgreSQL)', { skip: notAskedFor('postgresql') }, async t => {
  const postgres = await startPostgres()
  t.teardown(() => postgres.stop())
  const result = await runKilled({ kind: 'postgresql', databaseUrl: postgres.url, seconds: SECONDS, seed: 1 })
  t.comment(summarize(result))
  t.strictSame(result.problems, [])
  t.ok(result.kills > 0 && result.ledger.replays > 0)
})

t.test('servers that are killed in any moment: each key has one row, and one reply (MariaDB)', { skip: withoutMariadb }, async t => {
  const mariadb = await startMariadb()
  t.teardown(() => mariadb.stop())
  const result = await runKilled({ kind: 'mariadb', databaseUrl: new URL('/charges', mariadb.url).href, seconds: SECONDS, seed: 1 })
  t.comment(summarize(result))
  t.strictSame(result.problems, [])
  t.ok(result.kills > 0 && result.ledger.replays > 0)
})
