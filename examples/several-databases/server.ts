import { buildApp } from './app.ts'

const { PORT = '3000', DATABASE_URL } = process.env

const app = buildApp({
  databases: { url: DATABASE_URL, file: 'shop.sqlite', reportingFile: 'reporting.sqlite' },
  logger: { level: 'warn' }
})

try {
  const address = await app.listen({ port: Number(PORT) })
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => app.close())
  console.log(`The shop is open, have a look at ${address}/report`)
} catch (error: any) {
  console.error(`The shop cannot open: ${error.message}`)
  process.exitCode = 1
  await app.close()
}
