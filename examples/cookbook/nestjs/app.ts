import 'reflect-metadata'
import { MikroORM, type Options } from '@mikro-orm/core'
import { NestFactory } from '@nestjs/core'
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify'
import contextOrm from 'fastify-context-orm'
import { AppModule } from './app.module.ts'

export async function buildApp (options: Options): Promise<NestFastifyApplication> {
  const app = await NestFactory.create<NestFastifyApplication>(AppModule.for(options), new FastifyAdapter(), { logger: false })
  app.enableShutdownHooks()
  // once, before listen(): for all modules. Nest closes the MikroORM, since it has opened it
  await app.register(contextOrm, { orm: app.get<MikroORM>(MikroORM) })
  return app
}
