import { Attempt, buildApp } from '../../examples/cookbook/kept-on-4xx/app.ts'
import { Author, Book } from '../../examples/cookbook/books.ts'
import { clientOf, onEachShelf } from '../support/cookbook.ts'

const entities = { entities: [Author, Book, Attempt] }

onEachShelf('what a rollback hook notes stays, when all else is taken back', async (t, { open, query }) => {
  const { post } = await clientOf(t, buildApp({ orm: open }))
  const attempts = async (): Promise<string[]> => (await query('select what from attempt order by id')).map(({ what }) => what)
  await query("insert into book (title, stock) values ('Emma', 1)")
  t.match(await post('/order/Emma'), { status: 200, body: { stock: 0 } })
  t.strictSame(await attempts(), [])
  t.match(await post('/order/Emma'), { status: 409, body: { message: '"Emma" is sold out' } })
  t.strictSame(await attempts(), ['order of Emma'], 'when the reply is there')
  t.strictSame(await query('select stock from book'), [{ stock: 0 }])
  t.match(await post('/order/Persuasion'), { status: 404 })
  t.strictSame(await attempts(), ['order of Emma', 'order of Persuasion'], 'also of who has only read')
}, entities)

onEachShelf('a route says which status is a result, and is committed', async (t, { open, query }) => {
  const { post } = await clientOf(t, buildApp({ orm: open }))
  const attempts = async (): Promise<string[]> => (await query('select what from attempt order by id')).map(({ what }) => what)
  t.match(await post('/review/Emma'), { status: 422, body: { message: 'There is no such book' } })
  t.strictSame(await attempts(), ['review of Emma'])
}, entities)
