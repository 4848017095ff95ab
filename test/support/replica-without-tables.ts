import type { Test } from 'tap'
import { patience } from '../../lib/util/patience.ts'
import type { Orm, TestPool } from './databases.ts'

// on a busy machine, a replica that is slow is not one that has gone
for (const wait of ['slowReplica', 'silentReplica', 'unconnectedReplica'] as const) patience[wait] = 30_000

/** Another database of the same server: it is where its server is, and has no table. What is read there fails, which shows where it was read. */
export async function withReplica ({ another, kind }: TestPool, options: object = {}): Promise<Orm> {
  const [server, dbName] = kind === 'mariadb' ? [process.env.TEST_MARIADB_URL!, 'mysql'] : [process.env.TEST_DATABASE_URL!, 'postgres']
  const url = new URL(server)
  url.pathname = `/${dbName}`
  return await another({ replicas: [{ clientUrl: url.href, dbName, name: 'replica' }], ...options })
}

export async function isOnReplica (t: Test, read: () => Promise<unknown>, message: string): Promise<void> {
  await t.rejects(read(), /exist/, `${message}: on the replica`)
}
