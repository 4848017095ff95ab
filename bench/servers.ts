import type { Bench } from './environment.ts'
import type { Load } from './driver.ts'
import { ServerProcess } from './server-process.ts'
import type { VariantName } from './variants/variants.ts'

/** Starts a server for each variant, each with a database of its own, and stops them all when `use` has returned. */
export async function withServers<T> ({ postgres, profiles }: Pick<Bench, 'postgres' | 'profiles'>, names: VariantName[], pool: number, use: (servers: ServerProcess[]) => Promise<T>): Promise<T> {
  const servers: ServerProcess[] = []
  try {
    for (const variant of names) {
      servers.push(await ServerProcess.start({ variant, pool, databaseUrl: await postgres.createDatabase() }, profiles))
    }
    return await use(servers)
  } finally {
    await Promise.all(servers.map(server => server.stop()))
  }
}

/** Variants that do not answer alike cannot be compared. */
export async function assertSameReplies (servers: ServerProcess[], { method, path }: Load): Promise<void> {
  const replies = await Promise.all(servers.map(async ({ url }) => {
    const reply = await fetch(url + path, { method })
    return `${reply.status} ${await reply.text()}`
  }))
  for (const [i, { variant }] of servers.entries()) {
    if (replies[i] !== replies[0]) throw new Error(`${method} ${path}: ${variant} answers ${replies[i]}, and ${servers[0]!.variant} ${replies[0]}`)
  }
}
