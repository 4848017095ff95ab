import t, { type Test } from 'tap'
import { readFile, writeFile } from 'node:fs/promises'
import { checkOut, commitOf } from '../../bench/compare/other-code.ts'
import { contender } from '../../bench/contender.ts'
import type { Database, Statements } from '../../bench/database.ts'
import type { Load } from '../../bench/driver.ts'
import { VARIANTS as VARIANTS_OF_EXTENSIONS } from '../../bench/extensions.ts'
import { compareFirstRequests } from '../../bench/first-requests.ts'
import { Mariadb } from '../../bench/mariadb.ts'
import { FarNetwork } from '../../bench/network/far-network.ts'
import { countRoundTrips, steps as farSteps } from '../../bench/network/measure-network.ts'
import { measurePings } from '../../bench/network/ping.ts'
import { Postgres } from '../../bench/postgres.ts'
import { measure } from '../../bench/rounds.ts'
import type { ServerProcess } from '../../bench/server-process.ts'
import { assertSameReplies, withServers } from '../../bench/servers.ts'
import { STEPS as STEPS_OF_SHARE, WAYS } from '../../bench/share.ts'
import { workloads } from '../../bench/workloads.ts'
import { hasMariadb } from '../support/mariadb-server.ts'
import { withoutGit } from '../support/without-git.ts'
import { withoutMariadb, withoutPostgres } from '../support/without-servers.ts'

/** The limit, the network, fresh processes, extensions and other commits, as far as they do not depend on how fast a machine is. */

const POOL = 5
const REQUESTS = 20

t.test('what the parts of the benchmark run (PostgreSQL)', { skip: withoutPostgres }, async t => {
  const database = await Postgres.start()
  t.teardown(() => database.stop())
  await testByHand(t, database)
  await testRoundTrips(t, database)
  await testUnused(t, database)
  await testFirstRequests(t, database)
  await t.test('the code of another commit', { skip: withoutGit }, t => testOtherCode(t, database))
})

t.test('what the parts of the benchmark run (MariaDB)', { skip: withoutMariadb || (!hasMariadb && 'needs mariadbd on the path') }, async t => {
  const database = await Mariadb.start()
  t.teardown(() => database.stop())
  await testByHand(t, database)
  await testRoundTrips(t, database)
})

t.test('a network in between makes round trips longer', async t => {
  const { straight, through } = await measurePings(3, 20)
  t.comment(`${straight} ms, and ${through} through the network`)
  t.ok(through - straight > 5)
})

/** Extensions that are registered and not used, and both ways of the plugin's own share. */
async function testUnused (t: Test, database: Database): Promise<void> {
  const sent = async (server: ServerProcess, load: Load): Promise<Statements> => (await measure({ database }, server, { ...load, connections: 1 }, REQUESTS)).statements
  await withServers({ database }, VARIANTS_OF_EXTENSIONS, POOL, async servers => {
    for (const server of servers) {
      t.strictSame(await sent(server, workloads['no-database'].load), {}, `${server.name}: nothing`)
      t.strictSame(await sent(server, workloads.read.load), { select: 1 }, `${server.name}: read`)
    }
  })
  await withServers({ database }, ['with and without'], POOL, async ([server]) => {
    for (const way of WAYS) {
      for (const { load: { path, ...load } } of STEPS_OF_SHARE) {
        t.strictSame(await sent(server!, { ...load, path: way + path }), load.method === 'GET' ? { select: 1 } : { begin: 1, insert: 1, commit: 1 }, `${way}${path}`)
      }
    }
  })
}

async function testByHand (t: Test, database: Database): Promise<void> {
  const expected: Partial<Record<keyof typeof workloads, Statements>> = {
    read: { select: 1 },
    list: { select: 1 },
    insert: { insert: 1 },
    wait: { select: 1, insert: 1 },
    conflict: { begin: 1, insert: 1, rollback: 1 }
  }
  await withServers({ database }, ['by hand', 'recipe'], POOL, async servers => {
    for (const [name, statements] of Object.entries(expected)) {
      const { title, load } = workloads[name as keyof typeof workloads]
      await assertSameReplies(servers, load)
      t.strictSame((await measure({ database }, servers[0]!, { ...load, connections: 1 }, REQUESTS)).statements, statements, `by hand: ${title}`)
    }
  })
}

async function testRoundTrips (t: Test, database: Database): Promise<void> {
  const network = await FarNetwork.before(database, 0.1)
  try {
    const counts = await countRoundTrips({ database: network.far(database) }, network, ["'on-write'"], REQUESTS)
    for (const [i, { title, roundTrips }] of farSteps.entries()) t.strictSame(counts[i], [roundTrips[database.engine]], `round trips: ${title}`)
  } finally {
    await network.stop()
  }
}

async function testFirstRequests (t: Test, database: Database): Promise<void> {
  const steps: string[] = []
  const bench = { database, rounds: 1, seconds: 1, processes: 2, progress: { start () {}, step: (name: string) => steps.push(name) } }
  const { table, ratios } = await compareFirstRequests(bench, contender('recipe'), contender("'on-write'"), REQUESTS)
  t.strictSame(steps, ['recipe', "'on-write'", 'recipe', "'on-write'", "'on-write'", 'recipe', "'on-write'", 'recipe'], 'the pairs begin with one and with the other')
  t.equal(table.length, 3)
  t.ok(ratios.every(({ min, max }) => min > 0 && max < Infinity))
}

async function testOtherCode (t: Test, database: Database): Promise<void> {
  const { benchmark, remove } = await checkOut(commitOf('HEAD'))
  t.teardown(remove)
  const app = new URL('app.ts', benchmark)
  await writeFile(app, (await readFile(app, 'utf8')).replace('{ ok: true }', '{ ok: benchmark }').replace('let last', "const benchmark = 'other'\nlet last"))
  await withServers({ database }, [{ name: 'HEAD', variant: "'on-write'", folder: benchmark }, contender("'on-write'")], POOL, async servers => {
    await assertSameReplies(servers, workloads.read.load)
    await t.rejects(assertSameReplies(servers, workloads['no-database'].load), { message: /HEAD .*"other"/ }, 'each runs what is in its folder')
  })
}
