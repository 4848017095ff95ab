import { join } from 'node:path'
import Sqlite from 'better-sqlite3'
import t, { type Test } from 'tap'
import * as after from '../../examples/cookbook/request-context/after.ts'
import * as before from '../../examples/cookbook/request-context/before.ts'
import { clientOf, type Client } from '../support/cookbook.ts'

interface Guide extends Client {
  titles (): string[]
  authorization: string
}

async function start (t: Test, { buildApp }: typeof before): Promise<Guide> {
  const file = join(t.testdir({}), 'guide.sqlite')
  const client = await clientOf(t, await buildApp(file))
  const { body: { token } } = await client.post('/sign-up', { email: 'jane@example.org' })
  const titles = (): string[] => {
    const database = new Sqlite(file, { readonly: true })
    try {
      return (database.prepare('select title from article order by id').all() as any[]).map(({ title }) => title)
    } finally {
      database.close()
    }
  }
  return { ...client, titles, authorization: `Bearer ${token}` }
}

t.test('what both do', async t => {
  for (const app of [before, after]) {
    const { get, post, titles, authorization } = await start(t, app)
    t.match(await post('/articles', { title: 'a' }), { status: 401 })
    t.strictSame((await post('/articles', { title: 'a' }, { authorization })).body, { id: 1, title: 'a', author: { id: 1, email: 'jane@example.org' } })
    t.strictSame((await get('/articles/a')).body, { id: 1, title: 'a', author: 1 })
    t.match(await get('/articles/b'), { status: 404 })
    t.match(await get('/articles/a', { authorization: 'Bearer x' }), { status: app === before ? 500 : 401 })
    t.strictSame(titles(), ['a'])
  }
})

t.test('what was wrong before, and is right after', async t => {
  for (const app of [before, after]) {
    const { post, titles, authorization } = await start(t, app)
    for (const title of ['a', 'b', 'c']) t.match(await post('/articles', { title }, { authorization }), { status: 200 })
    t.match(await post('/articles', { title: 'd' }, { authorization }), { status: 500 })
    t.strictSame(titles(), app === before ? ['a', 'b', 'c', 'd'] : ['a', 'b', 'c'], 'what the client was told had failed')
    t.match(await post('/sign-up', { email: 'jane@example.org' }), { status: app === before ? 500 : 409 })
    const { status, body } = await post('/articles', { title: 'a' }, { authorization })
    t.equal(status, app === before ? 500 : 409)
    t.equal(/insert|unique/i.test(JSON.stringify(body)), app === before, 'the text of the database')
  }
})
