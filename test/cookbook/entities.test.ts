import { serialize } from '@mikro-orm/core'
import { buildApp, Novel, Writer } from '../../examples/cookbook/entities/app.ts'
import { em } from '../../index.ts'
import { clientOf, onEachShelf } from '../support/cookbook.ts'

const entities = { entities: [Novel, Writer] }

onEachShelf('entities are replied as they are read, populated or described', async (t, { open }) => {
  const { get, post } = await clientOf(t, buildApp({ orm: open }))
  t.strictSame((await post('/novels', { name: 'Austen', title: 'Emma' })).body, { id: 1, title: 'Emma', writer: { id: 1, name: 'Austen', novels: [{ id: 1, title: 'Emma' }] } }, 'what is new is in it as a whole')
  t.strictSame((await get('/novels/1')).body, { id: 1, title: 'Emma', writer: 1 })
  t.strictSame((await get('/novels/1/full')).body, { id: 1, title: 'Emma', text: null, writer: { id: 1, name: 'Austen' } })
  t.strictSame((await get('/novels/1/card')).body, { id: 1, title: 'Emma', writer: { name: 'Austen' } })
  t.strictSame((await post('/writers/1/novels', { title: 'Persuasion' })).body, {
    id: 1, name: 'Austen', novels: [{ id: 1, title: 'Emma' }, { id: 2, title: 'Persuasion' }]
  })
}, entities)

onEachShelf('what else the request has read is not in its reply, and what is serialized early lacks its id', async (t, { open }) => {
  const app = buildApp({ orm: open })
  app.register(async app => {
    const both = async (): Promise<any> => {
      await em().find(Writer, {})
      return await em().findOneOrFail(Novel, { id: 1 })
    }
    app.get('/entity', both)
    app.get('/serialized', async () => serialize(await both()))
    app.get('/early', async () => serialize(em().create(Writer, { name: 'Eliot', password: 'secret' })))
    const writer = { type: 'object', properties: { name: { type: 'string' } } }
    const schema = { response: { 200: { type: 'object', properties: { writer } } } }
    app.get('/not-populated', { schema }, async () => await em().findOneOrFail(Novel, { id: 1 }))
  })
  const { get, post } = await clientOf(t, app)
  await post('/novels', { name: 'Austen', title: 'Emma' })
  t.strictSame((await get('/entity')).body, { id: 1, title: 'Emma', writer: 1 })
  t.strictSame((await get('/serialized')).body, { id: 1, title: 'Emma', writer: 1 })
  t.strictSame((await get('/early')).body, { name: 'Eliot', novels: [] }, 'too early for its id')
  t.strictSame((await get('/not-populated')).body, { writer: {} }, 'an id where the schema has an object')
}, entities)
