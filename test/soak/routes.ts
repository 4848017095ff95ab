import type { SqlEntityManager } from '@mikro-orm/sql'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { em, runInContext } from '../../index.ts'
import { Entry, TAKEN, Taken, type Part } from './entities.ts'

/** Short enough that many requests are late, most of which wait for one of the few connections. */
const HANDLER_TIMEOUT_MS = 90
export const MAX_SLEEP_MS = 20

async function write (request: FastifyRequest, part: Part): Promise<void> {
  await em().insert(Entry, { request: request.id, part })
}

function create (request: FastifyRequest, part: Part): void {
  em().create(Entry, { request: request.id, part })
}

function sleepMs (request: FastifyRequest): number {
  return Number((request.query as { sleep: string }).sleep)
}

async function sleepInDatabase (request: FastifyRequest): Promise<void> {
  await (em() as unknown as SqlEntityManager).execute('select pg_sleep(?)', [sleepMs(request) / 1000])
}

/** A route for each ending, whose handler writes what the ledger expects of it. */
export function declareRoutes (app: FastifyInstance): void {
  app.post('/success', async request => {
    await em().count(Taken)
    create(request, 'main')
    return { ok: true }
  })

  app.post('/throw', async request => {
    create(request, 'main')
    await em().flush()
    throw new Error('after the flush')
  })

  app.post('/status', async (request, reply) => {
    await write(request, 'main')
    return reply.code(422).send({ ok: false })
  })

  app.post('/unique', async request => {
    await write(request, 'main')
    em().create(Taken, { name: TAKEN })
    return { ok: true }
  })

  app.post('/abort', async request => {
    create(request, 'main')
    await em().flush()
    await sleepInDatabase(request)
    return { ok: true }
  })

  app.post('/timeout', { handlerTimeout: HANDLER_TIMEOUT_MS }, async request => {
    await write(request, 'main')
    if (sleepMs(request) % 2 < 1) await sleepInDatabase(request)
    else await sleep(sleepMs(request))
    return { ok: true }
  })

  app.post('/stream', async (request, reply) => {
    create(request, 'main')
    return reply.send(Readable.from(['one', 'two', 'three']))
  })

  app.post('/hijack', async (request, reply) => {
    reply.hijack()
    try {
      await write(request, 'main')
      await em().commit()
    } catch {
      reply.raw.destroy()
      return
    }
    reply.raw.end('by hand')
  })

  app.post('/branch', async (request, reply) => {
    await runInContext(() => write(request, 'branch'))
    await write(request, 'main')
    if (sleepMs(request) < MAX_SLEEP_MS / 2) reply.code(422)
    return { ok: reply.statusCode < 400 }
  })

  // find or create, all at once
  app.post('/parallel', async request => {
    await Promise.all((['main', 'second', 'third'] as const).map(async part => {
      await em().findOne(Entry, { request: request.id, part })
      create(request, part)
      await em().flush()
    }))
    return { ok: true }
  })

  app.post('/nested', async request => {
    await write(request, 'main')
    await em().transactional(async () => {
      await write(request, 'inner')
      throw new Error('caught')
    }).catch(() => {})
    return { ok: true }
  })
}
