/**
 * `npm start`, with PORT (3000), DATABASE_URL (a PostgreSQL) or DATABASE_FILE (of SQLite, `bookshop.sqlite` beside
 * this file).
 */
import { join } from 'node:path'
import { buildApp } from './app.ts'

const port = Number(process.env.PORT || 3000)

const isInspected = process.env.NODE_ENV !== 'production'

const app = buildApp({
  database: {
    url: process.env.DATABASE_URL || undefined,
    file: process.env.DATABASE_FILE || join(import.meta.dirname, 'bookshop.sqlite')
  },
  logger: { level: 'warn' },
  isInspected
})

try {
  const address = await app.listen({ port })
  // not `once`: npm passes a Ctrl-C on that the terminal has sent to everybody already
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => app.close())
  console.log(`The bookshop is open, have a look at ${address}/books`)
  if (isInspected) console.log(`What its requests do in the database is at ${address}/_orm`)
} catch (error: any) {
  console.error(error.code === 'EADDRINUSE'
    ? `Port ${port} is taken. Choose another one: PORT=${port + 1} npm start`
    : `The bookshop cannot open: ${error.message}`)
  process.exitCode = 1
  await app.close()
}
