/**
 * Row-level security: one table, many tenants, and a database that shows each request the rows of its tenant only.
 *
 * `npm run example -- tenants` on a PostgreSQL in the process, or with `DATABASE_URL=postgresql://user:password@localhost/notes`
 * on a server, whose user may create roles; and in another terminal:
 *
 * ```sh
 * curl localhost:3000/notes -H 'authorization: Bearer red-token' -H 'content-type: application/json' -d '{"body":"hello"}'
 * curl localhost:3000/notes -H 'authorization: Bearer red-token'
 * curl localhost:3000/notes -H 'authorization: Bearer blue-token'
 * ```
 */
import { buildApp } from './app.ts'

const tokens = new Map([['red-token', 'red'], ['blue-token', 'blue']])
const app = buildApp({ database: { url: process.env.DATABASE_URL }, tokens, logger: { level: 'warn' } })

try {
  const address = await app.listen({ port: Number(process.env.PORT || 3000) })
  // not `once`: a Ctrl-C reaches everybody in the terminal, and whoever has started this may pass it on as well
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => app.close())
  console.log(`The notes of ${[...tokens.values()].join(' and ')} are at ${address}/notes`)
} catch (error: any) {
  console.error(`The server cannot start: ${error.message}`)
  process.exitCode = 1
  await app.close()
}
