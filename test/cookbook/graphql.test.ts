import { once } from 'node:events'
import { buildApp, mutation } from '../../examples/cookbook/graphql/app.ts'
import { Book } from '../../examples/cookbook/books.ts'
import { em } from '../../index.ts'
import { clientOf, onEachShelf, type Client } from '../support/cookbook.ts'
import { until } from '../support/until.ts'

const add = (title: string, fields = 'id title stock author { id name }'): string => `addBook(title: "${title}", author: "Austen") { ${fields} }`
const ask = async ({ post }: Client, query: string): Promise<any> => {
  const { status, body } = await post('/graphql', { query })
  return { status, ...body }
}

onEachShelf('a mutation replies with ids and defaults, committed', async (t, { open, titles }) => {
  const client = await clientOf(t, buildApp({ orm: open }))
  const reply = await ask(client, `mutation { ${add('Emma')} }`)
  t.strictSame(reply, { status: 200, data: { addBook: { id: 1, title: 'Emma', stock: 3, author: { id: 1, name: 'Austen' } } } })
  t.strictSame(await titles(), ['Emma'])
})

onEachShelf('one mutation that fails leaves nothing, and the others of the request stand', async (t, { open, titles }) => {
  const client = await clientOf(t, buildApp({ orm: open }))
  const reply = await ask(client, `mutation { a: ${add('Emma')} b: ${add('Emma')} c: ${add('Persuasion')} }`)
  t.match(reply, { status: 200, data: { a: { id: 1 }, b: null, c: { title: 'Persuasion' } }, errors: [{ message: 'There is one already', path: ['b'] }] })
  t.notMatch(JSON.stringify(reply.errors), /unique|insert/i)
  t.strictSame(await titles(), ['Emma', 'Persuasion'])
})

onEachShelf('what a failed mutation has changed in entities of others is not written', async (t, { open, query }) => {
  const app = buildApp({ orm: open })
  app.register(async app => {
    app.graphql.extendSchema('extend type Mutation { spoil: String }')
    app.graphql.defineResolvers({
      Mutation: {
        spoil: mutation(async () => {
          const book = await em().findOneOrFail(Book, { title: 'Emma' })
          book.stock = 77
          throw new Error('no')
        })
      }
    })
  })
  const client = await clientOf(t, app)
  const reply = await ask(client, `mutation { a: ${add('Emma')} spoil b: ${add('Persuasion')} }`)
  t.match(reply, { status: 200, data: { a: { id: 1 }, spoil: null, b: { title: 'Persuasion', author: { name: 'Austen' } } } })
  t.strictSame(await query('select title, stock from book order by title'), [{ title: 'Emma', stock: 3 }, { title: 'Persuasion', stock: 3 }])
})

onEachShelf('if a field below a mutation fails, nothing stays, and the reply says so with its 200', async (t, { open, titles }) => {
  const client = await clientOf(t, buildApp({ orm: open }))
  const reply = await ask(client, `mutation { a: ${add('Emma')} b: ${add('Priceless', 'id price')} }`)
  t.match(reply, { status: 200, data: null, errors: [{ message: 'It has no price', path: ['b', 'price'] }] })
  t.strictSame(await titles(), [])
})

onEachShelf('a flush that fails after the resolvers leaves nothing, and shows nothing of the database', async (t, { open, titles }) => {
  const app = buildApp({ orm: open })
  app.register(async app => {
    app.graphql.extendSchema('extend type Mutation { careless: String }')
    app.graphql.defineResolvers({
      Mutation: {
        careless: async (_root: unknown, _args: unknown, { reply }: any) => {
          reply.request.mutates = true
          em().create(Book, { title: 'Emma' })
          return 'done'
        }
      }
    })
  })
  const client = await clientOf(t, app)
  const reply = await ask(client, `mutation { ${add('Emma')} careless }`)
  t.match(reply, { status: 200, data: null, errors: [{ message: 'There is one already' }] })
  t.strictSame(await titles(), [])
})

onEachShelf('what is not there is said so, and of other errors nothing is said', async (t, { open }) => {
  const app = buildApp({ orm: open })
  app.register(async app => {
    app.graphql.extendSchema('extend type Query { book(title: String!): Book, broken: String }')
    app.graphql.defineResolvers({
      Query: {
        book: (_root: unknown, { title }: { title: string }) => em().findOneOrFail(Book, { title }),
        broken: () => em().find('Nothing' as any, {}) as any
      }
    })
  })
  const client = await clientOf(t, app)
  t.match(await ask(client, '{ book(title: "Emma") { id } }'), { status: 200, data: { book: null }, errors: [{ message: 'Not Found', path: ['book'] }] })
  t.match(await ask(client, '{ broken }'), { status: 200, data: { broken: null }, errors: [{ message: 'Internal Server Error' }] })
})

onEachShelf('queries have parallel resolvers and partial data, and a loader asks once', async (t, { open, sent }) => {
  const client = await clientOf(t, buildApp({ orm: open }))
  for (const title of ['Emma', 'Persuasion', 'Priceless']) await ask(client, `mutation { ${add(title)} }`)
  sent.length = 0
  const reply = await ask(client, '{ a: books { title author { name } price } b: books { id } }')
  t.equal(reply.status, 200)
  t.match(reply.data.a, [{ title: 'Emma', author: { name: 'Austen' }, price: 10 }, { price: 10 }, { title: 'Priceless', price: null }])
  t.equal(reply.data.b.length, 3)
  t.match(reply.errors, [{ message: 'It has no price', path: ['a', 2, 'price'] }])
  t.equal(sent.filter(sql => /from [`"]author/.test(sql)).length, 1, sent.join('\n'))
  t.notMatch(sent.join('\n'), /begin/)
})

onEachShelf('a query that is wrong is a 400, and a mutation by GET is none', async (t, { open, titles }) => {
  const client = await clientOf(t, buildApp({ orm: open }))
  t.match(await ask(client, '{ nothing }'), { status: 400, errors: [{ message: /nothing/ }] })
  t.match(await client.get(`/graphql?query=${encodeURIComponent(`mutation { ${add('Emma')} }`)}`), { status: 405 })
  t.strictSame(await titles(), [])
})

onEachShelf('a client that leaves during a mutation leaves nothing behind', async (t, { open, titles }) => {
  const app = buildApp({ orm: open })
  const leave = new AbortController()
  let ended = false
  app.register(async app => {
    app.graphql.extendSchema('extend type Mutation { slow: String }')
    app.graphql.defineResolvers({
      Mutation: {
        slow: mutation(async () => {
          await em().insert(Book, { title: 'slow' })
          const closed = once(sockets[0]!, 'close')
          leave.abort()
          await closed
          ended = true
          return 'done'
        })
      }
    })
  })
  const sockets: any[] = []
  app.addHook('onRequest', async request => { sockets.push(request.raw.socket) })
  const client = await clientOf(t, app)
  const body = JSON.stringify({ query: `mutation { ${add('Emma')} slow }` })
  await t.rejects(fetch(`${client.url}/graphql`, { method: 'POST', headers: { 'content-type': 'application/json' }, body, signal: leave.signal }))
  await until(() => ended)
  await app.close()
  t.strictSame(await titles(), [])
})
