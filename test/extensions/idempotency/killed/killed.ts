/**
 * `node test/extensions/idempotency/killed/killed.ts --engine mariadb --seconds 60 --seed 1`: clients that send until they are told
 * that all is done, and servers that are killed. Exits with 1 if anything is not as the clients were told.
 */
import { parseArgs } from 'node:util'
import { startMariadb } from '../../../support/mariadb-server.ts'
import { startPostgres } from '../../../support/postgres-server.ts'
import type { Kind } from './charge.ts'
import { runKilled } from './run-killed.ts'
import { summarize } from './summary.ts'

const { values } = parseArgs({
  options: { engine: { type: 'string', default: 'postgresql' }, seconds: { type: 'string', default: '60' }, seed: { type: 'string', default: '1' } }
})
const kind = values.engine as Kind
const seconds = Number(values.seconds)
const server = kind === 'postgresql' ? await startPostgres() : await startMariadb()
const url = new URL(server.url)
if (kind === 'mariadb') url.pathname = '/charges'
let isWell = false
try {
  const result = await runKilled({ kind, databaseUrl: url.href, seconds, seed: Number(values.seed) })
  console.log(`${summarize(result)}\n${result.problems.join('\n')}`)
  isWell = result.problems.length === 0
} finally {
  await server.stop()
}
process.exit(isWell ? 0 : 1)
