import createError from '@fastify/error'
import { defineEntity, p } from '@mikro-orm/core'
import fp from 'fastify-plugin'
import { em, runInContext } from 'fastify-context-orm'

export const User = defineEntity({
  name: 'User',
  properties: { id: p.integer().primary(), token: p.string().unique() }
})

export const AuditLine = defineEntity({
  name: 'AuditLine',
  properties: { id: p.integer().primary(), what: p.string() }
})

const UNAUTHORIZED = createError('UNAUTHORIZED', 'Unauthorized', 401)

/** Answers by itself, and asks no database. */
export const maintenance = fp(async app => {
  app.addHook('onRequest', async ({ headers }, reply) => {
    if (headers['x-maintenance'] !== undefined) return reply.code(503).send({ message: 'Back soon' })
  })
})

/** Asks the database, in the context of the request. */
export const auth = fp(async app => {
  app.addHook('onRequest', async ({ headers: { authorization = '' } }) => {
    if (await em().count(User, { token: authorization }) === 0) throw new UNAUTHORIZED()
  })
})

/** What it writes is committed with the rest, or rolled back with it. */
export const audit = fp(async app => {
  app.addHook('onSend', async ({ method, url }, { statusCode }) => {
    if (method !== 'GET' && statusCode < 400) em().create(AuditLine, { what: `${method} ${url}` })
  })
})

/** The request has ended: write in a new context. */
export const access = fp(async app => {
  app.addHook('onResponse', async ({ method, url }, { statusCode }) => {
    await runInContext({ orm: app.orm, name: 'access log' }, () => { em().create(AuditLine, { what: `${method} ${url} ${statusCode}` }) })
  })
})
