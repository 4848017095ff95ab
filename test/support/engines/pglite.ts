import { PGlite, type Transaction } from '@electric-sql/pglite'
import { MikroORM, PgliteDriver, createPostgreSqlTypeParsers } from '@mikro-orm/pglite'
import t from 'tap'
import type { Engine, Orm } from './engine.ts'
import { notAskedFor } from '../asked-engines.ts'

/** Starting one takes seconds: the tests of a process share it, and each has an empty schema. */
let shared: Promise<PGlite> | undefined
let isInTransaction = false

export const pglite: Engine = {
  kind: 'pglite',
  name: 'PGlite',
  without: notAskedFor('pglite'),

  async fresh () {
    const sent: string[] = []
    shared ??= start()
    const instance = await shared
    await instance.exec('drop schema public cascade; create schema public')
    return {
      kind: 'pglite',
      sent,
      open: options => MikroORM.init({
        driver: PgliteDriver, ...options, driverOptions: { pglite: recorded(instance, sent) }
      }) as unknown as Promise<Orm>,
      async observe (sql) {
        if (isInTransaction) throw new Error('PGlite has one connection, and it is in a transaction')
        return (await instance.query(sql)).rows
      },
      taken: () => isInTransaction ? 1 : 0
    }
  }
}

async function start (): Promise<PGlite> {
  const instance = await PGlite.create({ parsers: createPostgreSqlTypeParsers(text => text.slice(1, -1).split(',')) })
  t.teardown(() => instance.close()) // its timers would keep the process alive for ten seconds
  return instance
}

/** What Kysely uses of it; it begins and ends transactions by itself. */
function recorded (instance: PGlite, sent: string[]): object {
  const recordQuery = <T extends Pick<Transaction, 'query'>>(target: T): Pick<Transaction, 'query'> => ({
    query (sql, ...rest) {
      sent.push(sql)
      return target.query(sql, ...rest)
    }
  })
  return {
    ...recordQuery(instance),
    exec: (sql: string) => instance.exec(sql),
    async transaction (run: (transaction: Pick<Transaction, 'query'>) => Promise<void>) {
      try {
        await instance.transaction(async transaction => {
          sent.push('begin')
          isInTransaction = true
          await run(recordQuery(transaction))
          sent.push('commit')
        })
      } catch (error) {
        if (sent.at(-1) !== 'commit') sent.push('rollback')
        throw error
      } finally {
        isInTransaction = false
      }
    },
    closed: false,
    ready: true,
    waitReady: instance.waitReady,
    close: async () => {}
  }
}
