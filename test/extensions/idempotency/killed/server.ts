/** A server that is killed: `node server.ts postgresql URL PORT`. It listens when it is told to, so that it can take over at once. */
import type { SqlMikroORM } from '@mikro-orm/sql'
import Fastify from 'fastify'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import idempotency from '../../../../idempotency.ts'
import contextOrm, { afterCommit, beforeCommit, em } from '../../../../index.ts'
import { Charge, type Kind } from './charge.ts'
import { openOrm } from './open-orm.ts'

const [kind, databaseUrl, port] = process.argv.slice(2) as [Kind, string, string]
const orm: SqlMikroORM = await openOrm(kind, databaseUrl)
const app = Fastify({ forceCloseConnections: true })
await app.register(contextOrm, { orm: orm as never })
await app.register(idempotency, { required: true, wait: 2000 })

const die = (): void => { process.kill(process.pid, 'SIGKILL') }

app.post('/charges', { config: { idempotency: true } }, async (request, reply) => {
  const key = String(request.headers['idempotency-key'])
  const { kill } = request.headers
  if (kill === 'before-commit') beforeCommit(die)
  if (kill === 'after-commit') afterCommit(die)
  const nonce = randomUUID()
  em().create(Charge, { key, nonce } as any)
  if (Math.random() < 0.5) await em().flush()
  await sleep(Math.random() * 20)
  if (Math.random() < 0.1) throw new Error('at random')
  return reply.code(201).send({ key, nonce })
})

process.on('disconnect', () => process.exit())
await app.ready()
await orm.em.fork().count(Charge)
process.send!('ready')
await once(process, 'message')
await app.listen({ host: '127.0.0.1', port: Number(port) })
process.send!('listening')
