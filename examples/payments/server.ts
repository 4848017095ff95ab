import { buildApp } from './app.ts'

const app = buildApp({ file: 'payments.sqlite', logger: { level: 'warn' } })

try {
  const address = await app.listen({ port: Number(process.env.PORT ?? '3000') })
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => app.close())
  console.log(`Payments are taken at ${address}/payments`)
} catch (error: any) {
  console.error(`The server cannot start: ${error.message}`)
  process.exitCode = 1
  await app.close()
}
