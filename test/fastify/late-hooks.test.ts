import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { afterCommit, em } from '../../index.ts'
import { Book, onEachDatabase } from '../support/databases.ts'
import { startServer } from '../support/server.ts'

const audit = (): Promise<unknown> => em().insert(Book, { title: 'audit' })

/** In each of the styles in which Fastify takes hooks. */
const AUDITS: Record<string, (...args: any[]) => any> = {
  '/promise': async () => { await audit() },
  '/callback': (_request: FastifyRequest, _reply: FastifyReply, _payload: unknown, done: (error?: unknown) => void) => { audit().then(() => done(), done) },
  '/throw': (_request: FastifyRequest, _reply: FastifyReply, _payload: unknown, done: (error?: unknown) => void) => {
    afterCommit(() => {}) // refused before anything is awaited
    audit().then(() => done(), done)
  }
}

function declare (kind: 'onSend' | 'preSerialization'): (app: FastifyInstance) => void {
  return app => {
    for (const [path, hook] of Object.entries(AUDITS)) {
      app.get(path, { [kind]: hook, errorHandler: (_error, _request, reply) => { reply.code(418).send({ mine: true }) } }, async () => { throw new Error('no') })
      app.get(`${path}-used`, { [kind]: hook, errorHandler: (_error, _request, reply) => { reply.code(418).send({ mine: true }) } }, async () => {
        await em().insert(Book, { title: 'handler' })
        throw new Error('no')
      })
      app.get(`${path}-ok`, { [kind]: hook }, async () => ({ mine: true }))
    }
  }
}

for (const kind of ['onSend', 'preSerialization'] as const) {
  onEachDatabase(`a hook of ${kind} that writes while an error is answered leaves the reply as it is`, async (t, { orm, titles }) => {
    const { get, log } = await startServer(t, { orm }, declare(kind))
    for (const path of Object.keys(AUDITS).flatMap(path => [path, `${path}-used`])) {
      log.length = 0
      const response = await get(path)
      t.equal(response.status, 418, path)
      t.strictSame(await response.json(), { mine: true })
      t.match(log, [{ level: 50, msg: `GET ${path}: a hook has written after the end`, err: { code: 'FST_ORM_CONTEXT_ENDED' } }], path)
      t.strictSame(await titles(), [])
    }
    for (const path of Object.keys(AUDITS)) {
      t.strictSame(await (await get(`${path}-ok`)).json(), { mine: true })
      t.strictSame(await titles(), ['audit'], 'and otherwise it is written')
      await orm.em.fork().nativeDelete(Book, {})
    }
  })
}

onEachDatabase('a hook that fails of something else fails the reply, and says nothing of the database', async (t, { orm }) => {
  const fail = (message: string) => async (_request: FastifyRequest, reply: FastifyReply) => {
    if (reply.statusCode < 400) return
    if (message === 'sql') await (em() as any).execute('select secret from nowhere')
    throw message === '' ? undefined : new Error(message)
  }
  const { get, log } = await startServer(t, { orm }, app => {
    for (const message of ['sql', 'other', '']) {
      app.get(`/${message}`, { onSend: fail(message) }, async () => { throw new Error('handler') })
      app.get(`/sync/${message}`, {
        onSend (_request, reply, _payload, done) {
          if (reply.statusCode < 400) return done()
          if (message === 'other') throw new Error(message)
          fail(message)(_request, reply).then(() => done(), done)
        }
      }, async () => { throw new Error('handler') })
    }
  })
  for (const path of ['/sql', '/sync/sql']) {
    const response = await get(path)
    t.equal(response.status, 500)
    t.match(await response.json(), { message: 'Internal Server Error' })
    t.match(log.at(-1), { err: { message: /nowhere/ } })
  }
  for (const path of ['/other', '/sync/other']) t.match(await (await get(path)).json(), { statusCode: 500, message: 'other' })
  t.match(await (await get('/')).json(), { statusCode: 500, code: 'FST_ERR_SEND_UNDEFINED_ERR' })
})
