import { defineEntity, p, serialize } from '@mikro-orm/core'
import Fastify, { type FastifyInstance } from 'fastify'
import contextOrm, { em, type ContextOrmOptions } from 'fastify-context-orm'

export const Writer = defineEntity({
  name: 'Writer',
  properties: {
    id: p.integer().primary(),
    name: p.string(),
    password: p.string().hidden(),                        // never in a reply
    novels: () => p.oneToMany(Novel).mappedBy('writer')
  }
})

export const Novel = defineEntity({
  name: 'Novel',
  properties: {
    id: p.integer().primary(),
    title: p.string(),
    text: p.text().lazy().nullable(),                     // not read, unless asked for
    writer: () => p.manyToOne(Writer)
  }
})

const novel = {
  type: 'object',
  properties: {
    id: { type: 'integer' },
    title: { type: 'string' },
    writer: { type: 'object', properties: { name: { type: 'string' } } }
  }
}

interface ById {
  Params: { id: number }
}

export function buildApp ({ orm }: Pick<ContextOrmOptions, 'orm'>): FastifyInstance {
  const app = Fastify()
  app.register(contextOrm, { orm })
  app.register(async app => {
    // a new entity, with its id: it is flushed before it is serialised
    app.post<{ Body: { name: string, title: string } }>('/novels', async ({ body: { name, title } }) => {
      const writer = em().create(Writer, { name, password: 'secret' })
      return em().create(Novel, { title, writer })
    })

    // as it was read: `writer` is an id
    app.get<ById>('/novels/:id', async ({ params: { id } }) => await em().findOneOrFail(Novel, { id }))

    // with what is populated
    app.get<ById>('/novels/:id/full', async ({ params: { id } }) => (
      await em().findOneOrFail(Novel, { id }, { populate: ['writer', 'text'] })
    ))

    // what the schema names and what is populated
    app.get<ById>('/novels/:id/card', { schema: { response: { 200: novel } } }, async ({ params: { id } }) => (
      await em().findOneOrFail(Novel, { id }, { populate: ['writer'] })
    ))

    // serialize() says what is in the reply. It looks at the entity at once, and not when that is flushed
    app.post<{ Body: { title: string } } & ById>('/writers/:id/novels', async ({ params: { id }, body }) => {
      const writer = await em().findOneOrFail(Writer, { id }, { populate: ['novels'] })
      writer.novels.add(em().create(Novel, { title: body.title, writer }))
      await em().flush()                                  // or else the new one would have no id
      return serialize(writer, { populate: ['novels'], exclude: ['novels.writer', 'novels.text'] })
    })
  })
  return app
}
