import type { Kysely, SqlEntityManager } from '@mikro-orm/sql'
import { setImmediate } from 'node:timers/promises'
import type pg from 'pg'
import { commit, em, runInContext } from '../../index.ts'
import type { PgPool } from '../../lib/drivers/postgresql/internals.ts'
import { PgTransaction } from '../../lib/drivers/postgresql/pg-transaction.ts'
import { Book, onPostgres, type Orm } from '../support/databases.ts'
import { poolOf } from '../support/pool-of.ts'
import { until } from '../support/until.ts'

const sql = (): SqlEntityManager => em() as unknown as SqlEntityManager
const books = (): Kysely<any> => sql().getKysely() as Kysely<any>
const write = (title: string): Promise<unknown> => em().insert(Book, { title })

const first = (rows: AsyncIterable<unknown>): Promise<unknown> => rows[Symbol.asyncIterator]().next()

/** The one connection that is idle. */
async function onIdle<T> (orm: Orm, use: (client: pg.PoolClient) => T): Promise<Awaited<T>> {
  const client = await (await poolOf(orm)).connect()
  try {
    return await use(client)
  } finally {
    client.release()
  }
}

/** What is sent to the server in one piece. */
async function recordQueries (orm: Orm): Promise<string[]> {
  const queries: string[] = []
  await onIdle(orm, client => {
    const { connection } = client as unknown as { connection: { query (sql: string): void, parse (query: { text: string }): void } }
    const { query, parse } = connection
    connection.query = sql => {
      queries.push(sql)
      query.call(connection, sql)
    }
    connection.parse = statement => {
      queries.push(statement.text)
      parse.call(connection, statement)
    }
  })
  return queries
}

/** Leaves the idle connection as nobody should: PostgreSQL refuses even `BEGIN` until it is rolled back. */
async function breakIdle (orm: Orm): Promise<void> {
  await onIdle(orm, async client => {
    await client.query('begin')
    await client.query('select 1 / 0').catch(() => {})
  })
}

const ABORTED = /current transaction is aborted/

onPostgres('a stream that is the first statement of all begins the transaction by itself', async (t, { orm, taken }) => {
  const connection = (orm.em as unknown as SqlEntityManager).getConnection()
  const pool = await poolOf(orm)
  const transaction = await PgTransaction.begin(pool as unknown as PgPool, connection, {}, () => {}, true)
  const query = connection.getClient().insertInto('book').values({ title: 'Emma' }).returning('title').compile()
  t.match((await first(transaction.connection.streamQuery(query, 1))), { value: { rows: [{ title: 'Emma' }] } })
  await transaction.rollback()
  t.equal(await orm.em.fork().count(Book), 0)
  t.equal(taken(), 0)
})

onPostgres('BEGIN and the first statement are one query', async (t, { orm, titles }) => {
  const queries = await recordQueries(orm)
  await runInContext({ orm }, async () => {
    await write('Emma')
    await write('Persuasion')
    await commit()
    em().create(Book, { title: 'Sanditon' })
  })
  t.match(queries, [/^begin;insert .*Emma/, /^insert .*Persuasion/, 'commit', /^begin;insert .*Sanditon/, 'commit'])
  t.equal(queries.length, 5)
  t.strictSame(await titles(), ['Emma', 'Persuasion', 'Sanditon'])

  queries.length = 0
  await runInContext({ orm }, async () => {
    await books().insertInto('book').values({ title: 'Lady Susan' }).execute()
  })
  t.match(queries, ['begin', /^insert .*\$1/, 'commit'], 'but PostgreSQL takes no other with one that has parameters')

  queries.length = 0
  await runInContext({ orm }, async () => {
    await em().begin()
    t.strictSame(queries, ['begin'], 'and whoever asks for it has it at once')
    await em().commit()
  })
  t.strictSame(queries.splice(0), ['begin', 'commit'])

  await runInContext({ orm }, () => em().transactional(() => write('Lesley Castle')))
  t.match(queries, ['begin', /^savepoint/, /^insert/, /^release/, 'commit'])
})

onPostgres('the first statement answers as any other', async (t, { orm }) => {
  const answers = await runInContext({ orm }, async () => {
    const answersOf = async (): Promise<unknown[]> => {
      const all: unknown[] = []
      const statements = [
        'insert into book (title) values (\'Emma\') returning title', 'update book set stock = 4', 'select 1 as a; select 2 as b', ';',
        'select pg_typeof(now()) as type, now() > \'2020-01-01\' as is_now, null as nothing, array[1, 2] as list', 'set local work_mem = \'8MB\''
      ]
      for (const method of ['all', 'run'] as const) {
        for (const statement of statements) {
          await action()
          all.push(await sql().execute(statement, [], method))
          await em().rollback()
        }
      }
      return all
    }
    let action = async (): Promise<void> => {}
    const ofFirst = await answersOf()
    action = async () => { await em().begin() }
    return [ofFirst, await answersOf()]
  })
  t.strictSame(answers[0], answers[1])
  t.strictSame((answers[0] as unknown[])[0], [{ title: 'Emma' }])

  const errors: any[] = []
  for (const action of [async () => {}, async () => { await em().begin() }]) {
    await runInContext({ orm }, async () => {
      await action()
      await sql().execute('select nextval(\'book_id_seq\'), title from bok')
    }).catch(error => errors.push(error))
  }
  t.equal(errors.length, 2)
  t.match(errors[0], { code: '42P01', position: '43' })
  t.strictSame({ ...errors[0] }, { ...errors[1] }, 'also with an error')
  t.match(errors[0].stack, /begin-with-statement\.test\.ts/)
})

onPostgres('a first statement that cannot even be parsed fails the transaction as any other', async (t, { orm, titles }) => {
  for (const action of [async () => {}, async () => { await em().begin() }]) {
    await t.rejects(runInContext({ orm }, async () => {
      await action()
      await t.rejects(sql().execute('selec 1'), { code: '42601', position: '1' })
      await write('lost').catch(() => {})
    }), { code: 'FST_ORM_TRANSACTION_FAILED' })
  }
  t.strictSame(await titles(), [])
})

onPostgres('what comes after a statement that was aborted before it was sent is in the transaction, too', async (t, { another, titles }) => {
  const small = await another({ pool: { min: 0, max: 1 } })
  const pool = await poolOf(small)
  const holder = await pool.connect()
  const controller = new AbortController()
  await t.rejects(runInContext({ orm: small }, async () => {
    const insert = (title: string): any => books().insertInto('book').values({ title }).returning('title')
    const aborted = insert('aborted').execute({ signal: controller.signal })
    await until(() => pool.waitingCount === 1)
    const streamed = first(insert('streamed').stream())
    await setImmediate()
    controller.abort()
    holder.release()
    await t.rejects(aborted, { name: 'AbortError' })
    t.strictSame(await streamed, { done: false, value: { title: 'streamed' } })
    throw new Error('no')
  }), /^no$/)
  t.strictSame(await titles(), [])
})

onPostgres('where BEGIN fails, the statement is not executed, and the connection is well again', async (t, { orm, taken, titles }) => {
  for (const parallel of [[], [() => write('Persuasion'), () => em().transactional(() => write('Sanditon'))]]) {
    await breakIdle(orm)
    await t.rejects(runInContext({ orm }, async () => {
      const results = await Promise.allSettled([write('lost'), ...parallel.map(write => write())])
      t.match(results[0], { status: 'rejected', reason: ABORTED })
      for (const { status } of results) t.equal(status, 'rejected')
    }), { code: 'FST_ORM_TRANSACTION_FAILED' })
    t.equal(taken(), 0)
  }
  await runInContext({ orm }, () => write('Emma'))
  t.strictSame(await titles(), ['Emma'])
})

onPostgres('a first statement that takes longer than pg\'s query_timeout is rolled back', async (t, { orm, observe, taken, titles }) => {
  const blocker = orm.em.fork() as unknown as SqlEntityManager
  await onIdle(orm, async client => {
    (client as any).connectionParameters.query_timeout = 200
    await blocker.begin() // on another connection
  })
  await blocker.execute('lock table book in access exclusive mode')
  await t.rejects(runInContext({ orm }, async () => {
    await t.rejects(write('lost'), /Query read timeout/)
    t.equal((await observe("select 1 from pg_stat_activity where datname = current_database() and query like 'begin;insert%' and wait_event_type = 'Lock'")).length, 1, 'in this process only')
    await blocker.rollback()
  }), { code: 'FST_ORM_TRANSACTION_FAILED' })
  await until(() => taken() === 0)
  t.strictSame(await titles(), [])
})
