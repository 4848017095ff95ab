import type { AbstractSqlConnection } from '@mikro-orm/sql'
import { afterCommit, afterRollback, em, runInContext } from '../../index.ts'
import { Book, onMariadb, type Orm, type TestDatabase } from '../support/databases.ts'
import { startServer } from '../support/server.ts'
import { until } from '../support/until.ts'

const sql = (): any => em()

/** The connections of the MikroORMs of a test, but not the test's own. */
const CONNECTIONS = 'select id from information_schema.processlist where db = database() and id <> connection_id()'

async function killWhere ({ observe }: TestDatabase, condition: string): Promise<void> {
  await until(async () => {
    const found = await observe(`${CONNECTIONS} and ${condition}`)
    for (const { id } of found) await observe(`kill ${id}`)
    return found.length > 0
  })
}

/** Rejects unless the pool gives out so many connections at the same time, all of which work. */
async function assertPoolIsWhole (orm: Orm, size: number): Promise<void> {
  const connection = orm.em.getConnection() as unknown as AbstractSqlConnection
  const all = Promise.withResolvers<void>()
  let count = 0
  await Promise.all(Array.from({ length: size }, () => connection.transactional(async ctx => {
    await connection.execute('select 1', [], 'all', ctx)
    if (++count === size) all.resolve()
    await all.promise
  })))
}

onMariadb('a connection that is killed while it runs a statement is 503, and gives its place to another', async (t, database) => {
  const { orm, titles, taken } = database
  const { get } = await startServer(t, { orm }, app => {
    app.get('/read', async () => sql().execute('select sleep(60) from book'))
    app.get('/write', async () => {
      await em().insert(Book, { title: 'Emma' })
      await sql().execute('select sleep(60)')
    })
    app.get('/idle', async () => {
      await em().insert(Book, { title: 'Emma' })
      await killWhere(database, "command = 'Sleep'")
      await em().insert(Book, { title: 'Persuasion' })
    })
  })
  await orm.em.fork().insert(Book, { title: 'there' })
  for (const path of ['/read', '/write']) {
    const response = get(path)
    await killWhere(database, "state = 'User sleep'")
    t.equal((await response).status, 503, path)
  }
  t.equal((await get('/idle')).status, 503)
  await until(() => taken() === 0)
  t.strictSame(await titles(), ['there'])
  await assertPoolIsWhole(orm, 5)
})

onMariadb('a connection that dies before the commit writes nothing, and one that dies during it is in doubt', async (t, database) => {
  const { orm, titles, taken, another } = database
  const ran: string[] = []
  await t.rejects(runInContext({ orm }, async () => {
    afterCommit(() => { ran.push('committed') })
    await em().insert(Book, { title: 'Emma' })
    await killWhere(database, "command = 'Sleep'")
  }))
  t.strictSame(await titles(), [])
  await until(() => taken() === 0)

  const orms = await another({ pool: { min: 0, max: 1 } })
  await t.rejects(runInContext({ orm: orms }, async () => {
    afterRollback(() => { ran.push('rolled back') })
    afterCommit(() => { ran.push('committed') })
    await em().insert(Book, { title: 'in doubt' })
    const native: any = await (orms.em.getConnection() as any).getNativeClient()
    const connection = native._allConnections.get(0)
    const { write } = connection.stream
    connection.stream.write = (packet: Buffer, ...rest: unknown[]) => {
      const written = write.call(connection.stream, packet, ...rest)
      if (packet.toString('utf8', 5) === 'commit') connection.stream.destroy() // it is on its way
      return written
    }
  }))
  t.strictSame(ran, [], 'nobody knows')
  await until(() => taken() === 0)
  await assertPoolIsWhole(orms, 1)
})

onMariadb('under load, killed connections lose nothing that was answered 200, and leave the pool whole', async (t, database) => {
  const { orm, observe, titles, taken } = database
  const { post } = await startServer(t, { orm }, app => {
    app.post('/:title', async request => {
      await em().insert(Book, { title: (request.params as { title: string }).title })
      return await em().count(Book)
    })
  })
  const written = new Set<string>()
  const failed: Array<[string, number]> = []
  let next = 0
  const done = new AbortController()
  const client = async (): Promise<void> => {
    while (next < 300) {
      const title = `book ${next++}`
      const { status } = await post(`/${encodeURIComponent(title)}`)
      if (status === 200) written.add(title)
      else failed.push([title, status])
    }
  }
  const killer = async (): Promise<void> => {
    for (let i = 0; !done.signal.aborted; i++) {
      const connections = await observe(CONNECTIONS)
      if (connections.length > 0) await observe(`kill ${connections[i % connections.length].id}`).catch(() => {}) // gone by itself
    }
  }
  const killing = killer()
  await Promise.all(Array.from({ length: 10 }, client))
  done.abort()
  await killing
  const there = new Set(await titles())
  t.ok(failed.length > 0, `${failed.length} were hit`)
  t.strictSame([...new Set(failed.map(([, status]) => status))], [503])
  t.strictSame([...written].filter(title => !there.has(title)), [], 'what was answered 200 is there')
  await until(() => taken() === 0)
  await assertPoolIsWhole(orm, 5)
})
