import type { MikroORM } from '@mikro-orm/core'
import * as mariadb from '@mikro-orm/mariadb'
import * as postgresql from '@mikro-orm/postgresql'
import { PassThrough } from 'node:stream'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import * as errors from '../../lib/errors.ts'
import { readPage, snippetsOf, writeSnippets } from '../support/docs.ts'
import { freshDatabase } from '../support/fresh-database.ts'
import { freshMariadb } from '../support/fresh-mariadb.ts'
import { havingLittlePatience } from '../support/little-patience.ts'
import { withoutMariadb, withoutPostgres } from '../support/without-servers.ts'

const FILE = 'docs/reference/errors.md'
const page = await readPage(FILE)
const sections = page.split(/^(?=## )/m).slice(1).map(text => ({ code: /^## (\S+)/.exec(text)![1]!, text }))

t.test('every error has a section, which says what to do', async t => {
  t.strictSame(sections.map(({ code }) => code).sort(), Object.keys(errors).filter(name => name.startsWith('FST_')).sort())
  for (const { code, text } of sections) t.match(text, /^\*\*What to do:\*\* /m, code)
})

t.test('each error shows the address of its section, and a log does too', async t => {
  const { repository } = JSON.parse(await readPage('package.json'))
  const home = repository.url.replace(/^git\+|\.git$/g, '')
  for (const { code } of sections) {
    const error = new (errors as any)[code]('a', 'b', 'c', 'd')
    t.equal(error.help, `${home}/blob/HEAD/${FILE}#${code.toLowerCase()}`)
    const log = new PassThrough()
    Fastify({ logger: { stream: log } }).log.error(error)
    t.match(JSON.parse(String(log.read())), { err: { code, help: error.help } })
  }
})

/** Whose examples need a server, or cannot run at all. */
const ON_SERVERS: Record<string, string> = { FST_ORM_POOL_STARVED: 'pool-starved.ts', FST_ORM_IMPLICIT_COMMIT: 'implicit-commit.ts' }
const WITHOUT_EXAMPLE = ['FST_ORM_UNSUPPORTED']

const examplesOf = (text: string): string[] => snippetsOf([{ file: FILE, text }]).map(({ name }) => name)

t.test('each error has an example', async t => {
  t.strictSame(sections.filter(({ text }) => examplesOf(text).length === 0).map(({ code }) => code), WITHOUT_EXAMPLE)
})

t.test('each example fails with the error that it is for', async t => {
  havingLittlePatience(t)
  const { load } = await writeSnippets(t)
  const { orm } = await load('orm.ts')
  t.teardown(() => orm.close())
  const examples = sections.flatMap(({ code, text }) => examplesOf(text).map(name => ({ code, name })))
  for (const { code, name } of examples.filter(({ code }) => !(code in ON_SERVERS))) {
    await orm.schema.drop()
    await orm.schema.create()
    const { example } = await load(name)
    await t.rejects(example(), { code }, name)
  }
})

t.test('a pool of one connection is starved', { skip: withoutPostgres }, async t => {
  const { url } = await freshDatabase()
  await failsOn(t, 'FST_ORM_POOL_STARVED', Book => postgresql.MikroORM.init({ entities: [Book], clientUrl: url, pool: { max: 1 } }))
})

t.test('MariaDB would commit by itself', { skip: withoutMariadb }, async t => {
  const { url } = await freshMariadb()
  await failsOn(t, 'FST_ORM_IMPLICIT_COMMIT', Book => mariadb.MikroORM.init({ entities: [Book], clientUrl: url }))
})

async function failsOn (t: Test, code: string, open: (Book: any) => Promise<MikroORM>): Promise<void> {
  const { load } = await writeSnippets(t)
  const { Book, orm: unused } = await load('orm.ts')
  await unused.close()
  const orm: any = await open(Book)
  t.teardown(() => orm.close())
  await orm.schema.create()
  const { example } = await load(ON_SERVERS[code]!)
  await t.rejects(example(orm), { code })
}
