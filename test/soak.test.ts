import t from 'tap'
import { runSoak } from './soak/run-soak.ts'
import { summarize } from './soak/summary.ts'
import { startPostgres } from './support/postgres-server.ts'

const SECONDS = 20

// node-tap ends every process that has loaded it and is not done by then: the server must not load it
process.env.TAP_TIMEOUT = String(SECONDS / 4)

t.test('whatever ends requests, and however many at once, the tables are as the clients were told', async t => {
  const postgres = await startPostgres()
  t.teardown(() => postgres.stop())
  const result = await runSoak({ databaseUrl: postgres.url, seconds: SECONDS, seed: 1 })
  t.comment(summarize(result, SECONDS))
  t.strictSame(result.problems, [])
  for (const [ending, seen] of result.ledger.count()) t.not(seen.size, 0, `${ending} has happened`)
  t.not(result.killed, 0)
  t.ok(result.traces.held > 100)
})
