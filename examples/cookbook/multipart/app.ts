import multipart from '@fastify/multipart'
import { defineEntity, p } from '@mikro-orm/core'
import Fastify, { type FastifyInstance } from 'fastify'
import { randomUUID } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import contextOrm, { afterRollback, em, type ContextOrmOptions } from 'fastify-context-orm'

export const Scan = defineEntity({
  name: 'Scan',
  properties: { id: p.integer().primary(), name: p.string().unique(), file: p.string(), bytes: p.integer() }
})

export function buildApp ({ orm, folder }: Pick<ContextOrmOptions, 'orm'> & { folder: string }): FastifyInstance {
  const app = Fastify()
  app.register(contextOrm, { orm })
  app.register(multipart, { limits: { fileSize: 1_000_000 } })

  app.register(async app => {
    app.post('/scans', async request => {
      const scans = []
      for await (const { file: content, filename: name } of request.files()) {
        const file = join(folder, randomUUID())
        const writing = pipeline(content, createWriteStream(file))
        afterRollback(() => writing.catch(() => {}).then(() => rm(file, { force: true })))
        await writing
        // not flushed: as long as the upload takes, no connection is held
        scans.push(em().create(Scan, { name, file, bytes: content.bytesRead }))
      }
      return scans
    })
  })
  return app
}
