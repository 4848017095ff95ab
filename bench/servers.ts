import { contender, type Contender } from './contender.ts'
import type { Bench } from './environment.ts'
import { newKey, type Load } from './driver.ts'
import { ServerProcess } from './server-process.ts'
import type { VariantName } from './variants/variants.ts'

/** Starts a server for each variant or contender, each with a database of its own, and stops them all when `use` has returned. */
export async function withServers<T> ({ database, profiles }: Pick<Bench, 'database' | 'profiles'>, contenders: (VariantName | Contender)[], pool: number, use: (servers: ServerProcess[]) => Promise<T>): Promise<T> {
  const servers: ServerProcess[] = []
  try {
    for (const each of contenders) {
      const settings = { engine: database.engine, pool, databaseUrl: await database.createDatabase() }
      servers.push(await ServerProcess.start(typeof each === 'string' ? contender(each) : each, settings, profiles))
    }
    return await use(servers)
  } finally {
    await Promise.all(servers.map(server => server.stop()))
  }
}

/** Variants that do not answer alike cannot be compared. */
export async function assertSameReplies (servers: ServerProcess[], { method, path, hasKey = false }: Load): Promise<void> {
  const replies = await Promise.all(servers.map(async ({ url }) => {
    const reply = await fetch(url + path, { method, headers: hasKey ? newKey() : {} })
    return `${reply.status} ${await reply.text()}`
  }))
  for (const [i, { name }] of servers.entries()) {
    if (replies[i] !== replies[0]) throw new Error(`${method} ${path}: ${name} answers ${replies[i]}, and ${servers[0]!.name} ${replies[0]}`)
  }
}
