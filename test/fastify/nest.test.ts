import 'reflect-metadata'
import { Controller, Get, HttpException, Module } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify'
import contextOrm, { em } from '../../index.ts'
import { Book, onEachDatabase } from '../support/databases.ts'

const SECRETS = /book|title|insert|select|secret|constraint|relation|nowhere|no such/i

const FAILURES: Record<string, [status: number, fail: () => Promise<unknown>]> = {
  handler: [500, () => (em() as any).execute('select secret from nowhere')],
  flush: [500, async () => {
    for (let i = 0; i < 2; i++) em().create(Book, { title: 'secret' })
    return { ok: true }
  }],
  'flush-of-string': [500, async () => {
    for (let i = 0; i < 2; i++) em().create(Book, { title: 'secret' })
    return 'ok'
  }],
  late: [500, async () => {
    await em().insert(Book, { title: 'secret' })
    await em().insert(Book, { title: 'secret' }).catch(() => {})
    return 'ok'
  }],
  'read-only': [500, () => (em() as any).execute("update book set title = 'secret'")],
  own: [418, async () => {
    await em().insert(Book, { title: 'taken back' })
    throw new HttpException('mine', 418)
  }]
}

/** Node strips types, and leaves decorators: they are called by hand. */
function controller (): new () => object {
  class Books {}
  for (const [path, [, fail]] of Object.entries(FAILURES)) {
    Object.defineProperty(Books.prototype, path, { value: fail, configurable: true, writable: true })
    Get(path)(Books.prototype, path, Object.getOwnPropertyDescriptor(Books.prototype, path)!)
  }
  Object.defineProperty(Books.prototype, 'good', { value: async () => em().create(Book, { title: 'Emma' }), configurable: true, writable: true })
  Get('good')(Books.prototype, 'good', Object.getOwnPropertyDescriptor(Books.prototype, 'good')!)
  Controller()(Books)
  return Books
}

onEachDatabase('Nest\'s exception filter settles by its status, and shows nothing of the database', async (t, { orm, titles }) => {
  class App {}
  Module({ controllers: [controller()] })(App)
  const app = await NestFactory.create<NestFastifyApplication>(App, new FastifyAdapter(), { logger: false })
  t.teardown(() => app.close())
  await app.register(contextOrm as any, { orm })
  app.getHttpAdapter().getInstance().addHook('onRoute', route => {
    if (route.url === '/read-only') route.config = { ...route.config, orm: { readOnly: true } } as any
  })
  await app.listen(0, '127.0.0.1')
  const url = await app.getUrl()
  for (const [path, [status]] of Object.entries(FAILURES)) {
    const response = await fetch(`${url}/${path}`)
    const text = await response.text()
    t.equal(response.status, status, path)
    t.notMatch(text, SECRETS, path)
    t.match(text, path === 'own' ? 'mine' : /Internal server error|cannot be committed/i)
    t.strictSame(await titles(), [], path)
  }
  t.match(await (await fetch(`${url}/good`)).json(), { title: 'Emma' })
  t.strictSame(await titles(), ['Emma'])
})
