import { buildApp } from './app.ts'

const { DATABASE_URL: primary, REPLICA_URLS = '', TOKEN_SECRET: secret } = process.env
if (primary === undefined || secret === undefined) throw new Error('Set DATABASE_URL and TOKEN_SECRET, and the addresses of replicas in REPLICA_URLS')

const app = buildApp({ primary, secret, replicas: REPLICA_URLS.split(',').filter(url => url !== ''), logger: true })
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => app.close())
await app.ready()
await app.orm.schema.update({ safe: true })
await app.listen({ port: 3000 })
