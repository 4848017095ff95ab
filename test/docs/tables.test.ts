import Fastify from 'fastify'
import t from 'tap'
import guards from '../../guards.ts'
import idempotency from '../../idempotency.ts'
import inspector from '../../inspector.ts'
import contextOrm, { runInContext } from '../../index.ts'
import observability from '../../observability.ts'
import { readPage, writeSnippets } from '../support/docs.ts'

/** The first cell of each row of the table with that title. */
function rows (page: string, title: string): string[] {
  const [, table] = new RegExp(`^\\| ${title} \\|.*\\n\\|---.*\\n((?:\\|.*\\n)+)`, 'm').exec(page)!
  return [...table!.matchAll(/^\| `(\w+)` \|/gm)].map(match => match[1]!)
}

/** The options that the error for an unknown one names. */
async function known (register: () => unknown): Promise<string[]> {
  try {
    await register()
    return []
  } catch (error: any) {
    return /there are ([\w, ]+)\)/.exec(error.message)![1]!.split(', ')
  }
}

t.test('the tables of options are those of the code', async t => {
  const { load } = await writeSnippets(t)
  const { orm } = await load('orm.ts')
  t.teardown(() => orm.close())
  const app = Fastify()
  await app.register(contextOrm, { orm })
  t.teardown(() => app.close())
  const options = await readPage('docs/reference/options.md')
  t.strictSame(rows(options, 'option'), await known(async () => { await Fastify().register(contextOrm, { unknown: 1 } as any) }))
  t.strictSame(rows(options, '`config.orm`'), await known(() => app.get('/', { config: { orm: { unknown: 1 } } } as any, async () => {})))
  t.strictSame(rows(await readPage('docs/idempotency.md'), '`idempotency`').sort(), (await known(async () => { await app.register(idempotency, { unknown: 1 } as any) })).sort())
  const inspected = Fastify() // of one whose registration has failed, the next fails as well
  t.teardown(() => inspected.close())
  await inspected.register(contextOrm, { orm })
  t.strictSame(rows(await readPage('docs/inspector.md'), '`inspector`'), await known(async () => { await inspected.register(inspector, { unknown: 1 } as any) }))
  const observing = await readPage('docs/observing.md')
  t.strictSame(rows(observing, '`guards`').sort(), (await known(async () => { await Fastify().register(guards, { unknown: 1 } as any) })).sort())
  t.strictSame(rows(observing, '`observability`'), await known(async () => { await Fastify().register(observability, { unknown: 1 } as any) }))
  const replicas = async (): Promise<void> => { await Fastify().register(contextOrm, { orm, replicas: { unknown: 1 } } as any) }
  t.strictSame(rows(await readPage('docs/replicas.md'), '`replicas`'), await known(replicas))
  t.strictSame(rows(await readPage('docs/contexts.md'), '`runInContext`'), await known(() => runInContext({ orm, unknown: 1 } as any, () => {})))
})
