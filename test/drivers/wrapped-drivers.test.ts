import type { SqlEntityManager } from '@mikro-orm/sql'
import pg from 'pg'
import { em, runInContext } from '../../index.ts'
import { Book, onPostgres, type Orm, type TestDatabase } from '../support/databases.ts'
import { startServer } from '../support/server.ts'
import { until } from '../support/until.ts'

type Query = (...args: any[]) => any

/** What those do who stand between Kysely and pg, to comment or to trace statements. */
const WRAPPERS: Record<string, (query: Query) => Query> = {
  'a copy with another text': query => (config, ...args) => query(
    typeof config === 'string' ? `${config} /* copied */` : { ...config, text: `${config.text} /* copied */` }, ...args),
  'only the text': query => (config, values) => query(typeof config === 'string' ? config : config.text, values),
  'an object made of a string': query => (config, ...args) => query(typeof config === 'string' ? { text: config } : config, ...args),
  'an object with its values': query => (config, values) => query({ text: typeof config === 'string' ? config : config.text, values }),
  'an object that pg prepares': query => (config, values) => query({ name: `statement ${++prepared}`, text: config, values })
}

let prepared = 0

const sql = (): SqlEntityManager => em() as unknown as SqlEntityManager
const write = (title: string): Promise<unknown> => em().insert(Book, { title })

/** A MikroORM whose client is wrapped, and what came through. */
async function wrapped ({ another }: TestDatabase, wrapper: (query: Query) => Query, options: object = {}): Promise<{ orm: TestDatabase['orm'], seen: string[] }> {
  const seen: string[] = []
  class Client extends pg.Client {
    override query (...args: any[]): any {
      if (typeof args[0]?.submit === 'function') return (super.query as Query)(...args)
      seen.push(args[0].text ?? args[0])
      return wrapper((...args) => (super.query as Query)(...args))(...args)
    }
  }
  return { orm: await another({ driverOptions: { Client, ...options } }), seen }
}

for (const [name, wrapper] of Object.entries(WRAPPERS)) {
  onPostgres(`a driver that is wrapped writes once what is committed, and nothing else: ${name}`, async (t, database) => {
    const { observe, taken, titles } = database
    const { orm, seen } = await wrapped(database, wrapper)
    const { post } = await startServer(t, { orm }, app => {
      app.post('/good', async () => em().create(Book, { title: 'Emma' }))
      app.post('/throws', async () => {
        await write('thrown')
        throw new Error('take it back')
      })
      app.post('/unique', async () => {
        await write('Emma')
      })
      app.post('/syntax', async () => {
        await sql().execute('inser into book')
      })
      app.post('/caught', async () => {
        await sql().execute('inser into book').catch(() => {})
        await write('after a failure').catch(() => {})
      })
      app.post('/second-fails', async () => {
        await write('first')
        await write('first')
      })
      app.post('/savepoints', async () => {
        await em().transactional(() => write('taken back').then(() => { throw new Error('no') })).catch(() => {})
        await em().transactional(() => write('Persuasion'))
      })
      app.post('/parameters', async () => {
        await sql().getKysely<any>().insertInto('book').values({ title: 'Sanditon' }).execute()
      })
    })
    const good = await post('/good')
    t.equal(good.status, 200)
    t.match(await good.json(), { id: 1, title: 'Emma', stock: 3 })
    for (const [path, status] of Object.entries({ '/throws': 500, '/unique': 409, '/syntax': 500, '/caught': 500, '/second-fails': 409, '/savepoints': 200, '/parameters': 200 })) {
      t.equal((await post(path)).status, status, path)
      t.equal(taken(), 0, path)
    }
    t.strictSame(await titles(), ['Emma', 'Persuasion', 'Sanditon'])
    t.ok(seen.some(text => text.startsWith('begin;insert into "book"')), 'it sees what the statement is')
    t.strictSame(await observe("select 1 from pg_stat_activity where datname = current_database() and state like 'idle in transaction%'"), [])
  })

  onPostgres(`a driver that is wrapped loses nothing when a statement is cut: ${name}`, async (t, database) => {
    const { another, observe, taken, titles } = database
    const { orm } = await wrapped(database, wrapper)
    const { orm: impatient } = await wrapped(database, wrapper, { query_timeout: 300 })
    const blocker = (await another()).em.fork() as unknown as SqlEntityManager
    const waiting = async (): Promise<any[]> => await observe("select pid from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'")
    const whileLocked = async (orm: Orm, cut: () => Promise<unknown>, error: RegExp, signal?: AbortSignal): Promise<void> => {
      await blocker.begin()
      await blocker.execute('lock table book in access exclusive mode')
      const running = runInContext({ orm, signal }, () => write('lost'))
      const failed = t.rejects(running, error)
      await until(async () => (await waiting()).length === 1)
      await cut()
      await failed
      await blocker.rollback()
      await until(() => taken() === 0)
    }
    const aborted = new AbortController()
    await whileLocked(orm, async () => aborted.abort(new Error('aborted')), /aborted/, aborted.signal)
    await whileLocked(orm, async () => {
      const [{ pid }] = await waiting()
      await observe(`select pg_terminate_backend(${pid})`)
    }, /terminating connection/)
    await whileLocked(impatient, async () => {}, /Query read timeout/)
    t.strictSame(await titles(), [])
    await runInContext({ orm }, () => write('Emma'))
    t.strictSame(await titles(), ['Emma'])
  })
}
