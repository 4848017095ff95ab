import { defineEntity, p } from '@mikro-orm/core'
import type { SessionStore } from '@fastify/session'
import { em } from 'fastify-context-orm'

export const StoredSession = defineEntity({
  name: 'StoredSession',
  properties: {
    id: p.string().primary(),
    data: p.json<any>(),
    expires: p.datetime().nullable()
  }
})

/** Sessions are read and written by the request's EntityManager, and committed with the rest of the request. */
export const store: SessionStore = {
  get (id, callback) {
    em().findOne(StoredSession, { id }).then(found => callback(null, found?.data), callback)
  },

  set (id, session, callback) {
    const data = JSON.parse(JSON.stringify(session))
    em().upsert(StoredSession, { id, data, expires: session.cookie.expires ?? null }).then(() => callback(), callback)
  },

  destroy (id, callback) {
    em().nativeDelete(StoredSession, { id }).then(() => callback(), callback)
  }
}
