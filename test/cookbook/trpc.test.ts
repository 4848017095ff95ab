import { createTRPCClient, httpBatchLink, httpBatchStreamLink, httpLink } from '@trpc/client'
import { once, EventEmitter } from 'node:events'
import { buildApp } from '../../examples/cookbook/trpc/app.ts'
import { procedure, router } from '../../examples/cookbook/trpc/trpc.ts'
import { books, type Books } from '../../examples/cookbook/trpc/router.ts'
import { Book } from '../../examples/cookbook/books.ts'
import { em } from '../../index.ts'
import { clientOf, onEachShelf, onPostgresShelf } from '../support/cookbook.ts'

const failure = async (call: Promise<unknown>): Promise<any> => await call.then(() => undefined, error => error)

onEachShelf('a procedure replies with ids and defaults, committed', async (t, { open, titles }) => {
  const { url } = await clientOf(t, buildApp({ orm: open }))
  const client = createTRPCClient<Books>({ links: [httpLink({ url: `${url}/trpc` })] })
  t.strictSame(await client.add.mutate('Emma'), { id: 1, title: 'Emma', stock: 3 })
  t.strictSame(await titles(), ['Emma'])
  t.match(await client.list.query(), [{ title: 'Emma' }])
})

onEachShelf('each procedure of a batch stands or falls by itself', async (t, { open, titles, query }) => {
  const { url } = await clientOf(t, buildApp({ orm: open }))
  const statuses: number[] = []
  const client = createTRPCClient<Books>({
    links: [httpBatchLink({
      url: `${url}/trpc`,
      fetch: async (input, init) => {
        const response = await fetch(input, init as RequestInit)
        statuses.push(response.status)
        return response
      }
    })]
  })
  const [emma, again, persuasion, none] = await Promise.all([
    client.add.mutate('Emma'), failure(client.add.mutate('Emma')), client.add.mutate('Persuasion'), failure(client.add.mutate(''))
  ])
  t.match([emma, persuasion].map(({ title }) => title), ['Emma', 'Persuasion'])
  t.match(again, { message: 'There is one already', data: { code: 'CONFLICT', httpStatus: 409 } })
  t.match(none, { data: { code: 'BAD_REQUEST' } })
  t.strictSame(statuses, [207], 'one request')
  t.strictSame(await titles(), ['Emma', 'Persuasion'])

  for (let i = 0; i < 3; i++) await client.order.mutate('Emma')
  const [soldOut, sold] = await Promise.all([failure(client.order.mutate('Emma')), client.order.mutate('Persuasion')])
  t.match(soldOut, { message: '"Emma" is sold out' })
  t.match(sold, { stock: 2 })
  t.strictSame(await query('select title, stock from book order by title'), [{ title: 'Emma', stock: 0 }, { title: 'Persuasion', stock: 2 }])
})

onEachShelf('a failure of the database shows nothing of it', async (t, { open, titles }) => {
  const broken = router({
    add: procedure.mutation(async () => {
      await em().insert(Book, { title: 'secret' })
      await (em() as any).execute('select secret from nowhere')
    })
  })
  const { url } = await clientOf(t, buildApp({ orm: open }, broken as any))
  const client = createTRPCClient<Books>({ links: [httpLink({ url: `${url}/trpc` })] })
  const error = await failure(client.add.mutate('ignored'))
  t.match(error, { message: 'Internal Server Error', data: { httpStatus: 500 } })
  t.notMatch(JSON.stringify(error.shape), /secret|nowhere/)
  t.strictSame(await titles(), [])
})

onPostgresShelf('each result of a streamed batch is committed when it comes', async (t, { open, titles }) => {
  const gate = new EventEmitter()
  const slow = router({
    add: books.add,
    order: procedure.mutation(async () => {
      const book = em().create(Book, { title: 'slow' })
      await em().flush()
      await once(gate, 'open')
      return book
    })
  } as any)
  const { url } = await clientOf(t, buildApp({ orm: open }, slow as any))
  const client = createTRPCClient<Books>({ links: [httpBatchStreamLink({ url: `${url}/trpc` })] })
  const ordered = client.order.mutate('slow')
  t.match(await client.add.mutate('Emma'), { id: Number, title: 'Emma' })
  const [first, second] = [client.order.mutate('slow'), client.add.mutate('Persuasion')]
  t.match(await second, { title: 'Persuasion' })
  t.strictSame(await titles(), ['Emma', 'Persuasion'], 'while the other procedures are running')
  gate.emit('open')
  const ended = await Promise.allSettled([ordered, first])
  t.strictSame(ended.map(({ status }) => status).sort(), ['fulfilled', 'rejected'], 'the title is unique')
  t.strictSame(await titles(), ['Emma', 'Persuasion', 'slow'])
})

onEachShelf('a client that leaves leaves nothing behind, also of a streamed batch', async (t, { open, titles }) => {
  const gate = new EventEmitter()
  const sent = new EventEmitter()
  const slow = router({
    add: procedure.mutation(async () => {
      await em().insert(Book, { title: 'slow' })
      sent.emit('insert')
      await once(gate, 'open')
    })
  })
  const app = buildApp({ orm: open }, slow as any)
  let closed: Promise<unknown> | undefined
  app.addHook('onRequest', async (_request, reply) => { closed = once(reply.raw, 'close') })
  const { url } = await clientOf(t, app)
  for (const link of [httpBatchLink, httpBatchStreamLink]) {
    const leave = new AbortController()
    const client = createTRPCClient<Books>({ links: [link({ url: `${url}/trpc` })] })
    const inserted = once(sent, 'insert')
    const adding = client.add.mutate('slow', { signal: leave.signal })
    await inserted
    leave.abort()
    await t.rejects(adding)
    await closed
    gate.emit('open')
  }
  await app.close()
  t.strictSame(await titles(), [])
})
