/**
 * `npm run example -- observability`, with PORT (3000), DATABASE_URL (a PostgreSQL) or DATABASE_FILE (of SQLite,
 * `bookshop.sqlite` beside this file), RESTOCK_SECONDS (60). Spans are printed.
 */
import { BasicTracerProvider, ConsoleSpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base'
import { join } from 'node:path'
import { buildApp } from './app.ts'
import { restock } from './books.ts'
import { openTelemetry } from './telemetry.ts'

const { PORT = '3000', DATABASE_URL, DATABASE_FILE = join(import.meta.dirname, 'bookshop.sqlite'), RESTOCK_SECONDS = '60' } = process.env

const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(new ConsoleSpanExporter())] })
const app = buildApp({
  database: {
    url: DATABASE_URL,
    file: DATABASE_FILE
  },
  telemetry: openTelemetry(provider),
  announce: async title => console.log(`We have ${title} now`),
  logger: { level: 'warn' }
})

let restocking: NodeJS.Timeout | undefined
app.addHook('onReady', async () => {
  restocking = setInterval(() => restock(app).catch(process.emitWarning), Number(RESTOCK_SECONDS) * 1000)
})
app.addHook('preClose', async () => clearInterval(restocking))

try {
  const address = await app.listen({ port: Number(PORT) })
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => app.close())
  console.log(`The bookshop is open, have a look at ${address}/metrics`)
} catch (error: any) {
  console.error(`The bookshop cannot open: ${error.message}`)
  process.exitCode = 1
  await app.close()
}
