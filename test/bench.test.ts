import t, { type Test } from 'tap'
import { drive } from '../bench/driver.ts'
import { bytesPerOpenContext, bytesPerPastContext, countKept, untilWaiting } from '../bench/memory-measures.ts'
import type { Database, Statements } from '../bench/database.ts'
import { Mariadb } from '../bench/mariadb.ts'
import type { Pair } from '../bench/measure-pair.ts'
import { pairs } from '../bench/pairs.ts'
import { Postgres } from '../bench/postgres.ts'
import { median } from '../bench/ratios.ts'
import { measure } from '../bench/rounds.ts'
import type { ServerProcess } from '../bench/server-process.ts'
import { withServers } from '../bench/servers.ts'
import { workloads } from '../bench/workloads.ts'
import { hasMariadb } from './support/mariadb-server.ts'
import { withoutMariadb, withoutPostgres } from './support/without-servers.ts'

/** What the benchmarks say about the plugin that does not depend on how fast a machine is. */

const POOL = 5
const REQUESTS = 20

t.test('what requests send to the database, hold and leave behind (PostgreSQL)', { skip: withoutPostgres }, async t => {
  const database = await Postgres.start()
  t.teardown(() => database.stop())
  await withServers({ database }, ["'on-write'", 'floor', ...Object.values(pairs).map(pair => pair.with)], POOL, async ([server, floor, ...others]) => {
    await testStatements(t, database, server!)
    await testPairs(t, database, others)
    await testConnections(t, server!)
    await testMemory(t, server!, floor!)
  })
})

t.test('what requests send to the database, and hold (MariaDB)', { skip: withoutMariadb || (!hasMariadb && 'needs mariadbd on the path') }, async t => {
  const database = await Mariadb.start()
  t.teardown(() => database.stop())
  await withServers({ database }, ["'on-write'", ...Object.values(pairs).map(pair => pair.with)], POOL, async ([server, ...others]) => {
    await testStatements(t, database, server!)
    await testPairs(t, database, others)
    await testConnections(t, server!)
  })
})

async function testStatements (t: Test, database: Database, server: ServerProcess): Promise<void> {
  const expected: Record<keyof typeof workloads, Statements> = {
    'no-database': {},
    read: { select: 1 },
    list: { select: 1 },
    insert: { begin: 1, insert: 1, commit: 1 },
    wait: { select: 1, begin: 1, insert: 1, commit: 1 },
    conflict: { begin: 1, insert: 1, rollback: 1 },
    throw: {}
  }
  for (const [name, { title, load }] of Object.entries(workloads)) {
    const { statements, heldMs } = await measure({ database }, server, { ...load, connections: 1 }, REQUESTS)
    t.strictSame(statements, expected[name as keyof typeof workloads], `statements per request: ${title}`)
    t.equal(heldMs > 0, Object.keys(statements).length > 0, `holds a connection only if it sends something: ${title}`)
  }
}

/** Servers that have what is asked for, in the order of the pairs. */
async function testPairs (t: Test, database: Database, servers: ServerProcess[]): Promise<void> {
  for (const [i, { title: of, steps }] of Object.values<Pair>(pairs).entries()) {
    for (const { title, load, statements } of steps) {
      const sample = async (): Promise<Statements> => (await measure({ database }, servers[i]!, { ...load, connections: 1 }, REQUESTS)).statements
      await sample() // a connection of MariaDB is told once to say where commits are
      t.strictSame(await sample(), statements[database.engine], `statements per request: ${of}: ${title}`)
    }
  }
}

async function testConnections (t: Test, server: ServerProcess): Promise<void> {
  const load = { method: 'GET', path: '/gate/loan', connections: 2 * POOL, status: 200 } as const
  const replies = drive(server.url, load, 2 * POOL)
  await untilWaiting(server, 2 * POOL) // if each held a connection, no more would get so far than the pool has
  t.equal(await server.ask('taken'), 0, 'who has read, and waits for something else, holds no connection')
  await server.ask('openGate')
  await replies
  t.equal(await server.ask('taken'), 0, 'nothing is held when everything is written')
}

async function testMemory (t: Test, server: ServerProcess, floor: ServerProcess): Promise<void> {
  const added = async (measure: (server: ServerProcess) => Promise<number>): Promise<number> => await measure(server) - await measure(floor)

  const open = await added(server => bytesPerOpenContext(server, 1000))
  t.comment(`${Math.round(open)} bytes per open context`)
  t.ok(open < 500, 'bytes per open context that touches no database')

  const timer = await added(server => bytesPerPastContext(server, '/timer', 2000))
  t.comment(`${Math.round(timer)} bytes per settled context that a timer keeps alive`)
  t.ok(timer < 500, 'bytes per settled context that a timer keeps alive')
  t.equal(await countKept(server, true), 0, 'a timer keeps no request, EntityManager or entity')

  for (const path of ['/nothing', '/book']) {
    const past: number[] = []
    for (let i = 0; i < 3; i++) past.push(await bytesPerPastContext(server, path, 4000, i === 0 ? 4000 : 0))
    t.comment(`${past.map(bytes => bytes.toFixed(1)).join(', ')} bytes per settled context of ${path}`)
    t.ok(median(past) < 50, `the heap does not grow with the contexts of ${path}`)
  }
}
