/** `fastify start examples/cookbook/autoload/app.ts` */
import autoload from '@fastify/autoload'
import type { FastifyInstance, FastifyPluginOptions } from 'fastify'
import { join } from 'node:path'

export default async function app (app: FastifyInstance, options: FastifyPluginOptions): Promise<void> {
  app.register(autoload, { dir: join(import.meta.dirname, 'plugins'), options })
  app.register(autoload, { dir: join(import.meta.dirname, 'routes'), options })
}
