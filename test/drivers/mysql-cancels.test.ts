import { MariaDbDriver, MikroORM } from '@mikro-orm/mariadb'
import { MysqlDialect } from 'kysely'
import { createPool } from 'mysql2'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import type { SqlEntityManager } from '@mikro-orm/sql'
import { em, runInContext } from '../../index.ts'
import { Author, Book, onMariadb, type Orm, type TestPool } from '../support/databases.ts'
import { lockBooks } from '../support/locked-books.ts'
import { isBlocked, isSleeping, untilNone, untilOne } from '../support/server-connections.ts'

/** A pool of one, where what has `held` in it waits for who is given what sends it. */
async function withHeld ({ orm }: TestPool, held: string, hold: (send: () => void) => void, onOther?: (socket: Socket, packet: Buffer) => void): Promise<Orm> {
  return await MikroORM.init({
    entities: [Author, Book],
    clientUrl: orm.config.get('clientUrl')!,
    driver: MariaDbDriver,
    pool: { min: 0, max: 1 },
    driverOptions: {
      stream ({ config }: { config: { host: string, port: number } }) {
        const socket = connect(config.port, config.host).setNoDelay(true)
        const { write } = socket
        socket.write = (packet: any, ...rest: any[]) => {
          if (!packet.includes(held)) {
            onOther?.(socket, packet)
            return write.call(socket, packet, ...rest as [])
          }
          hold(() => { write.call(socket, packet, ...rest as []) })
          return true
        }
        return socket
      }
    }
  }) as unknown as Orm
}

/** Ends the read that waits for `unlock`, sends what was to cancel it after that, and has `next` come in between: in which order they end. */
async function endBeforeCancelled (database: TestPool, sent: Promise<() => void>, unlock: () => Promise<void>, next: () => Promise<unknown>): Promise<string[]> {
  const send = await sent
  const order: string[] = []
  const read = next().then(() => { order.push('the next read') })
  await unlock()
  await untilNone(database, isBlocked)
  for (let i = 0; i < 20; i++) await database.observe('select 1')
  order.push('the cancellation')
  send()
  await read
  return order
}

onMariadb('a cancellation that is on its way when a read ends does not hit what comes next on its connection', async (t, database) => {
  const held = Promise.withResolvers<() => void>()
  const orm = await withHeld(database, 'kill query ', held.resolve)
  t.teardown(() => orm.close())
  await runInContext({ orm }, () => em().count(Book))
  const unlock = await lockBooks(database)
  const aborted = new AbortController()
  const read = t.rejects(runInContext({ orm, signal: aborted.signal }, () => em().count(Book)), { message: 'enough' })
  await untilOne(database, isBlocked)
  aborted.abort(new Error('enough'))
  const order = await endBeforeCancelled(database, held.promise, unlock, () => runInContext({ orm }, () => em().count(Book)))
  await read
  t.strictSame(order, ['the cancellation', 'the next read'])
})

onMariadb('nor does that of a signal which a statement has of its own', async (t, database) => {
  const held = Promise.withResolvers<() => void>()
  const orm = await withHeld(database, 'kill query ', held.resolve)
  t.teardown(() => orm.close())
  await runInContext({ orm, transaction: 'on-query' }, async () => {
    const unlock = await lockBooks(database)
    const aborted = new AbortController()
    const books = (em() as unknown as SqlEntityManager).execute('select * from book', [], { signal: aborted.signal, inflightQueryAbortStrategy: 'cancel query' })
    const read = t.rejects(books, { message: 'enough' })
    await untilOne(database, isBlocked)
    aborted.abort(new Error('enough'))
    const order = await endBeforeCancelled(database, held.promise, unlock, () => em().count(Author))
    await read
    t.strictSame(order, ['the cancellation', 'the next read'])
  })
})

onMariadb('where a cancellation has to wait for a connection of the pool, it does not wait for that which is to be cancelled', async (t, database) => {
  const pool = createPool({ uri: database.orm.config.get('clientUrl')!, connectionLimit: 2 })
  const orm = await MikroORM.init({
    entities: [Author, Book], dbName: database.orm.config.get('dbName'), ensureDatabase: false, driver: MariaDbDriver, driverOptions: new MysqlDialect({ pool })
  }) as unknown as Orm
  t.teardown(() => orm.close())
  const aborted = new AbortController()
  const job = (): Promise<unknown> => t.rejects(runInContext({ orm, signal: aborted.signal }, async () => {
    await em().insert(Book, { title: 'Emma' })
    await (em() as unknown as SqlEntityManager).execute(database.sleep(0.5))
  }), { message: 'enough' })
  const jobs = [job(), job()]
  await untilOne(database, isSleeping)
  aborted.abort(new Error('enough'))
  await Promise.all(jobs)
  t.equal(await runInContext({ orm }, () => em().count(Book)), 0)
})

onMariadb('a cancellation that overtakes its statement is sent again', async (t, database) => {
  for (const whose of ['its context', 'its own'] as const) {
    const held = Promise.withResolvers<() => void>()
    let kills = 0
    const orm = await withHeld(database, 'select sleep', held.resolve, (socket, packet) => {
      if (!packet.includes('kill query ')) return
      kills++
      if (kills === 1) Promise.all([held.promise, once(socket, 'data')]).then(([send]) => send(), t.fail)
    })
    t.teardown(() => orm.close())
    const aborted = new AbortController()
    const { signal } = aborted
    const [context, own] = whose === 'its own' ? [{}, { signal, inflightQueryAbortStrategy: 'cancel query' as const }] : [{ signal }, {}]
    const running = t.rejects(runInContext({ orm, ...context }, async () => {
      await em().insert(Book, { title: 'Emma' })
      await (em() as unknown as SqlEntityManager).execute(database.sleep(), [], own)
    }), { message: 'enough' })
    await held.promise
    aborted.abort(new Error('enough'))
    await running
    t.ok(kills > 1, `the first one came before the server knew of the statement: by a signal of ${whose}`)
    await untilNone(database, isSleeping)
    t.equal(await runInContext({ orm }, () => em().count(Book)), 0)
  }
})
