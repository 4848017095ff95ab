import { defineEntity, p } from '@mikro-orm/core'
import { MikroORM, type SqlEntityManager } from '@mikro-orm/postgresql'
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type pg from 'pg'
import t, { type Test } from 'tap'
import { afterCommit, em, runInContext } from 'fastify-context-orm'
import { until } from '../../test/support/until.ts'
import { createDatabase } from '../support/postgres-database.ts'
import { Book, Job } from './entities.ts'
import { enqueue } from './queue.ts'
import { restock } from './restock.ts'
import { worker, type WorkerOptions } from './worker.ts'

/** One for each time that a handler has done its work; nothing keeps it from being there twice. */
const Effect = defineEntity({
  name: 'Effect',
  properties: {
    id: p.integer().primary(),
    of: p.string()
  }
})

interface Queue {
  orm: MikroORM
  url: string
  put (kind: string, ...payloads: unknown[]): Promise<void>
  /** Starts workers, which are stopped at the latest when the test ends. */
  start (count: number, options: Omit<WorkerOptions, 'signal'>): { stop (): Promise<void> }
  query (sql: string): Promise<any[]>
  effects (): Promise<string[]>
  jobs (): Promise<any[]>
  /** Until so many jobs are in that state. */
  reached (state: string, count: number): Promise<void>
  taken (): number
}

function onQueue (name: string, run: (t: Test, queue: Queue) => Promise<void>): void {
  t.test(name, async t => {
    const { url, query } = await createDatabase(t)
    const pools: pg.Pool[] = []
    const orm = await MikroORM.init({
      entities: [Job, Book, Effect],
      clientUrl: url,
      pool: { min: 0, max: 5 },
      driverOptions: { onPoolCreated: (pool: pg.Pool) => { pools.push(pool) } }
    })
    await orm.schema.create()
    const taken = (): number => pools.reduce((sum, pool) => sum + pool.totalCount - pool.idleCount, 0)
    const stops: (() => Promise<void>)[] = []
    t.teardown(async () => {
      await Promise.all(stops.map(stop => stop()))
      await orm.close()
    })

    await run(t, {
      orm,
      url,
      put: (kind, ...payloads) => runInContext({ orm }, () => { for (const payload of payloads) enqueue(kind, payload) }),
      start (count, options) {
        const controller = new AbortController()
        const workers = Array.from({ length: count }, () => worker(orm, {
          pollInterval: 5, backoff: () => 1, onError: error => t.error(error), ...options, signal: controller.signal
        }))
        const stop = async (): Promise<void> => {
          controller.abort()
          await Promise.all(workers)
        }
        stops.push(stop)
        return { stop }
      },
      query,
      effects: async () => (await query('select of from effect order by id')).map(row => row.of),
      jobs: () => query('select state, attempts, last_error, finished_at from job order by id'),
      reached: (state, count) => until(async () => (await query(`select from job where state = '${state}'`)).length >= count),
      taken
    })
    await Promise.all(stops.map(stop => stop()))
    t.equal(taken(), 0, 'no connection is left open')
    t.strictSame(await query("select from pg_stat_activity where datname = current_database() and state like 'idle in%'"), [])
  })
}

const numbers = (count: number): string[] => Array.from({ length: count }, (_, i) => String(i))

async function leaveEffect (of: string): Promise<void> {
  em().create(Effect, { of })
  await em().flush()
}

onQueue('many jobs for several workers: each has its effect once, and nobody shares one', async (t, { put, start, effects, jobs, reached }) => {
  const running = new Set<string>()
  let most = 0
  let shared = 0
  const handlers = {
    async note (of: string) {
      if (running.has(of)) shared++
      running.add(of)
      most = Math.max(most, running.size)
      await leaveEffect(of)
      await em().count(Effect)
      running.delete(of)
    }
  }
  await put('note', ...numbers(100))
  const first = start(4, { handlers })
  await put('note', ...numbers(200).slice(100))
  start(4, { handlers })
  await reached('done', 200)
  t.strictSame((await effects()).sort(), numbers(200).sort())
  t.equal(shared, 0)
  t.ok(most > 1, `in parallel, ${most} of them at most`)
  t.ok((await jobs()).every(job => job.attempts === 1 && job.finished_at !== null && job.last_error === null))

  await first.stop()
  await put('note', 'late')
  await reached('done', 201)
  t.ok((await effects()).includes('late'), 'a worker that waits finds new work')
})

onQueue('two workers that ask for the only job at once: one gets it', async (t, { put, start, reached, jobs }) => {
  for (let round = 1; round <= 20; round++) {
    const started: unknown[] = []
    await put('note', round)
    const { stop } = start(5, { handlers: { note: (payload: unknown) => { started.push(payload) } } })
    await reached('done', round)
    await stop()
    t.strictSame(started, [round])
  }
  t.ok((await jobs()).every(job => job.attempts === 1))
})

onQueue('a job that is put into the queue by what is rolled back is in no queue', async (t, { orm, put, start, effects, reached }) => {
  await t.rejects(runInContext({ orm }, async () => {
    enqueue('note', 'lost')
    await em().flush()
    throw new Error('no')
  }), { message: 'no' })
  await put('note', 'kept')
  start(2, { handlers: { note: leaveEffect } })
  await reached('done', 1)
  t.strictSame(await effects(), ['kept'])
})

onQueue('a handler that fails is tried again, and nothing of its failures stays', async (t, { put, start, effects, jobs, reached }) => {
  const news: string[] = []
  const attempts: string[] = []
  await put('note', 'x')
  start(3, {
    handlers: {
      async note (of: string) {
        attempts.push(of)
        const attempt = attempts.length
        await leaveEffect(`${of}${attempt}`)
        afterCommit(() => { news.push(`${of}${attempt}`) })
        if (attempt < 3) throw new Error(`not yet: ${attempt}`)
      }
    }
  })
  await reached('done', 1)
  t.match(await jobs(), [{ state: 'done', attempts: 3, last_error: null, finished_at: Date }])
  t.strictSame(await effects(), ['x3'])
  await until(() => news.length > 0) // the row shows a moment before the hook runs
  t.strictSame(news, ['x3'])
})

onQueue('a database that is away for a while does not end the worker', async (t, { put, start, query, effects, reached }) => {
  await query('alter table job rename to job_away')
  const failed = Promise.withResolvers<unknown>()
  start(1, { handlers: { note: leaveEffect }, onError: failed.resolve })
  t.match(await failed.promise, { name: 'TableNotFoundException' })
  await query('alter table job_away rename to job')
  await put('note', 'x')
  await reached('done', 1)
  t.strictSame(await effects(), ['x'])
})

onQueue('unless told otherwise, it waits for a second, and for longer each time', async (t, { put, start, query }) => {
  await put('note', 'x')
  start(1, { backoff: undefined, handlers: { note () { throw new Error('no') } } })
  await until(async () => (await query('select from job where last_error is not null')).length === 1)
  t.match(await query("select run_at between now() - interval '5 seconds' and now() + interval '2 seconds' as is_soon, state from job"), [{ is_soon: true, state: 'waiting' }])
})

onQueue('between attempts it waits for as long as the backoff says', async (t, { put, start, query, effects, reached }) => {
  const asked: number[] = []
  await put('note', 'x')
  start(2, {
    backoff (attempts) {
      asked.push(attempts)
      return 3_600_000
    },
    handlers: {
      async note (of: string) {
        if (asked.length === 0) throw new Error('no')
        await leaveEffect(of)
      },
      other: () => {}
    }
  })
  await until(async () => (await query('select from job where last_error is not null')).length === 1)
  await put('other', 1, 2, 3)
  await reached('done', 3)
  t.match(await query("select state, attempts, last_error, run_at > now() + interval '59 minutes' as is_later from job where kind = 'note'"), [
    { state: 'waiting', attempts: 1, last_error: 'Error: no', is_later: true }
  ])
  t.strictSame(await effects(), [])

  await query("update job set run_at = now() where kind = 'note'")
  await reached('done', 4)
  t.strictSame(await effects(), ['x'])
  t.strictSame(asked, [1])
})

onQueue('a handler that always fails ends as failed, with its last error', async (t, { put, start, effects, jobs, reached }) => {
  let attempts = 0
  await put('note', 'x')
  start(4, {
    maxAttempts: 4,
    handlers: {
      async note (of: string) {
        attempts++
        await leaveEffect(of)
        throw new Error(`no: ${attempts}`)
      },
      other: () => {}
    }
  })
  await reached('failed', 1)
  await put('other', 1, 2, 3)
  await reached('done', 3)
  t.equal(attempts, 4)
  t.match((await jobs())[0], { state: 'failed', attempts: 4, last_error: 'Error: no: 4', finished_at: Date })
  t.strictSame(await effects(), [])
})

onQueue('what fails when it is flushed or committed fails the attempt', async (t, { put, start, effects, jobs, query, reached }) => {
  await query(`create function refuse() returns trigger language plpgsql as $$ begin raise exception 'not at the commit'; end $$;
    create constraint trigger refuse after insert on effect deferrable initially deferred for each row when (new.of = 'commit') execute function refuse()`)
  await query('create unique index on effect (of)')
  await put('note', 'x', 'x', 'commit')
  start(1, { maxAttempts: 1, handlers: { note: (of: string) => { em().create(Effect, { of }) } } })
  await reached('failed', 2)
  t.match(await jobs(), [{ state: 'done' }, { state: 'failed', last_error: /unique/ }, { state: 'failed', last_error: /not at the commit/ }])
  t.strictSame(await effects(), ['x'])
})

onQueue('a worker that is stopped finishes its job, and leaves the others', async (t, { put, start, effects, jobs, reached }) => {
  const entered = Promise.withResolvers<void>()
  const leave = Promise.withResolvers<void>()
  await put('note', 'a', 'b', 'c')
  const { stop } = start(1, {
    handlers: {
      async note (of: string) {
        entered.resolve()
        await leave.promise
        await leaveEffect(of)
      }
    }
  })
  await entered.promise
  let hasStopped = false
  const stopped = stop().then(() => { hasStopped = true })
  await new Promise(resolve => setImmediate(resolve))
  t.equal(hasStopped, false)
  leave.resolve()
  await stopped
  t.strictSame(await effects(), ['a'])
  t.strictSame((await jobs()).map(job => job.state), ['done', 'waiting', 'waiting'])

  start(2, { handlers: { note: leaveEffect } })
  await reached('done', 3)
  t.strictSame((await effects()).sort(), ['a', 'b', 'c'])
})

onQueue('a worker without work stops at once', async (_t, { start, taken }) => {
  const { stop } = start(1, { pollInterval: 3_600_000, handlers: { note: () => {} } })
  await until(() => taken() > 0)
  await until(() => taken() === 0)
  await stop()
})

onQueue('a job that takes too long is cancelled in the database, and what it does later is refused', async (t, { put, start, effects, jobs, query, reached }) => {
  const late = Promise.withResolvers<unknown>()
  await put('query', 'x')
  await put('wait', 'y')
  start(2, {
    timeout: 200,
    lease: 3_600_000,
    maxAttempts: 1,
    handlers: {
      async query (of: string) {
        await leaveEffect(of)
        await (em() as SqlEntityManager).execute('select pg_sleep(60)')
      },
      async wait (of: string, signal: AbortSignal) {
        await once(signal, 'abort')
        await reached('failed', 2)
        await leaveEffect(of).catch(late.resolve)
      }
    }
  })
  await reached('failed', 2)
  for (const job of await jobs()) t.match(job, { state: 'failed', last_error: /^TimeoutError/ })
  t.match(await late.promise, { code: 'FST_ORM_CONTEXT_ENDED', message: /job 2 \(wait\) has ended/ })
  t.strictSame(await effects(), [])
  await until(async () => (await query("select from pg_stat_activity where query ~ '^(begin;)?select pg_sleep' and state = 'active'")).length === 0)
})

onQueue('a job that outlives its lease is tried by another worker, and only one of the two counts', async (t, { put, start, effects, jobs, reached }) => {
  const entered = Promise.withResolvers<void>()
  const leave = Promise.withResolvers<void>()
  await put('note', 'x')
  const slow = start(1, {
    lease: 1,
    handlers: {
      async note () {
        entered.resolve()
        await leave.promise
        await leaveEffect('slow')
      }
    }
  })
  await entered.promise
  start(1, { handlers: { note: () => leaveEffect('quick') } })
  await reached('done', 1)
  const stopped = slow.stop()
  leave.resolve()
  await stopped
  t.strictSame(await effects(), ['quick'])
  t.match(await jobs(), [{ state: 'done', attempts: 2, last_error: null }])
})

onQueue('a job whose worker dies every time has failed at last', async (t, { put, start, jobs, query, reached }) => {
  await put('note', 'x')
  await query('update job set attempts = 3') // as workers leave it that died in their third attempt
  start(2, { maxAttempts: 3, handlers: { note: () => { t.fail('must not run') } } })
  await reached('failed', 1)
  t.match(await jobs(), [{ state: 'failed', last_error: /its worker must have died/ }])
})

onQueue('workers survive that their connections break', async (t, { put, start, query, effects, reached }) => {
  const halfway = Promise.withResolvers<void>()
  let count = 0
  await put('note', ...numbers(60))
  start(4, {
    timeout: 300,
    lease: 500,
    maxAttempts: 20,
    onError: () => {},
    handlers: {
      async note (of: string) {
        if (++count === 30) halfway.resolve()
        await leaveEffect(of)
      }
    }
  })
  await halfway.promise
  await query('select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()')
  await reached('done', 60)
  t.strictSame((await effects()).sort(), numbers(60).sort())
})

onQueue('books are restocked, and the readers hear of it after the commit', async (t, { put, start, query, reached }) => {
  const news: string[] = []
  await put('restock', ...Array.from({ length: 6 }, () => ({ title: 'Emma', copies: 3 })), { title: 'Persuasion', copies: 1 })
  start(1, { handlers: { restock: payload => restock(payload, line => { news.push(line) }) } })
  await reached('done', 7)
  t.strictSame(await query('select title, stock from book order by title'), [{ title: 'Emma', stock: 18 }, { title: 'Persuasion', stock: 1 }])
  await until(() => news.length === 7)
  t.equal(news[5], 'Emma is back: 18 copies')
})

onQueue('the program does its jobs, and ends on SIGTERM', async (t, { url, query, jobs }) => {
  const program = startProgram(t, { DATABASE_URL: url }, 'Emma', 'Persuasion')
  const lines: string[] = []
  for await (const line of createInterface(program.stdout!)) if (lines.push(line) === 3) break
  t.strictSame(lines.sort(), ['Emma is back: 3 copies', 'Persuasion is back: 3 copies', 'Waiting for jobs, until Ctrl-C'])
  program.kill('SIGTERM')
  t.strictSame(await ended(program), [0, ''])
  t.match(await jobs(), [{ state: 'done' }, { state: 'done' }])
  t.strictSame(await query('select title, stock from book order by title'), [{ title: 'Emma', stock: 3 }, { title: 'Persuasion', stock: 3 }])
})

t.test('the program says why it cannot start', async t => {
  t.match(await ended(startProgram(t, {})), [1, /^DATABASE_URL is missing, such as postgresql:[^\n]+\n$/])
  t.strictSame(await ended(startProgram(t, { DATABASE_URL: 'postgresql://127.0.0.1:1/bookshop' })), [
    1, 'The workers cannot start: connect ECONNREFUSED 127.0.0.1:1\n'
  ])
})

function startProgram (t: Test, env: Record<string, string>, ...args: string[]): ChildProcess {
  const { DATABASE_URL, ...inherited } = process.env
  const program = spawn(process.execPath, [join(import.meta.dirname, 'main.ts'), ...args], { env: { ...inherited, ...env } })
  t.teardown(() => program.kill('SIGKILL'))
  return program
}

/** The exit code, and what was printed as an error. */
async function ended (program: ChildProcess): Promise<[number, string]> {
  const [errors, [code]] = await Promise.all([program.stderr!.toArray(), once(program, 'close')])
  return [code, Buffer.concat(errors).toString()]
}
