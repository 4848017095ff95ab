/** `tsx server.ts` */
import { MikroORM } from '@mikro-orm/sqlite'
import Fastify from 'fastify'
import contextOrm, { em } from 'fastify-context-orm'
import { Book } from './book.ts'
import { Books } from './books.ts'

const orm = await MikroORM.init({ entities: [Book], dbName: process.env.BOOKS ?? ':memory:' })
await orm.schema.update({ safe: true })
const books = new Books(orm)

const app = Fastify()
app.register(contextOrm, { orm: () => orm })
app.get('/books', async () => await em().find(Book, {}))
app.post<{ Body: string[] }>('/books', async ({ body }) => await books.addAll(body))
app.post<{ Params: { slug: string } }>('/books/:slug/order', async ({ params }) => await books.order(params.slug))

process.once('SIGTERM', () => app.close())
console.log(await app.listen({ port: Number(process.env.PORT ?? 3000), host: '127.0.0.1' }))
