import { MikroORM, type SqlEntityManager, type SqliteDriver } from '@mikro-orm/sqlite'
import Fastify from 'fastify'
import contextOrm, { em, type ContextOrmOptions } from 'fastify-context-orm'
import guards, { startGuards } from 'fastify-context-orm/guards'
import idempotency, { deleteExpiredKeys, IdempotencyKey } from 'fastify-context-orm/idempotency'
import { allowSandboxes, createSandbox } from 'fastify-context-orm/testing'

const orm = await MikroORM.init({ dbName: ':memory:', entities: [] })

declare module 'fastify-context-orm' {
  interface Register { orm: typeof orm }
}

const options: ContextOrmOptions = { orm, transaction: 'on-query', shouldCommit: (_request, reply) => reply.statusCode < 300 }
const app = Fastify()
await app.register(contextOrm, options)

app.get('/', { config: { orm: { readOnly: true } } }, async request => {
  const managers: SqlEntityManager<SqliteDriver>[] = [em(), request.em, app.orm.em]
  return managers.map(manager => manager.getKysely())
})

const sandbox = await createSandbox([orm, orm])
const managers: SqlEntityManager<SqliteDriver>[] = [sandbox.em, (await createSandbox(orm)).em]
const count: number = await sandbox.run(async () => managers.length)
await sandbox.ems.reporting?.flush()
allowSandboxes(app)
// @ts-expect-error nor is what a function in a sandbox returns
managers.push(await sandbox.run(() => count))

await app.register(guards, { outgoingCalls: 'warn', allowedHosts: ['localhost'] })
startGuards({ lostEntities: 'error' })()
await app.register(idempotency, { orm, scope: request => request.ip, wait: 0 })
app.post('/once', { config: { idempotency: { required: true } } }, async () => (await em().findAll(IdempotencyKey)).map(({ id }) => id))
const deleted: number = await deleteExpiredKeys({ orm })
// @ts-expect-error nor are the options of idempotency keys
app.register(idempotency, { wait: 'long', deleted })

// @ts-expect-error the plugin's own options are no `any`
app.register(contextOrm, { orm, transaction: 'sometimes' })
// @ts-expect-error nor is the EntityManager
em().noSuchMethod()
// @ts-expect-error nor is the MikroORM
app.orm.noSuchMethod()
