/** What package.json says in `engines`, and npm only warns of. */
const NEEDED: readonly [major: number, minor: number] = [22, 17]

/**
 * The first import of everything that the package publishes: with an older Node, MikroORM's drivers may end the process
 * without a word (better-sqlite3 13.0.3 does).
 */
export function checkNode (version: string): void {
  const [major, minor] = version.split('.').map(Number) as [number, number]
  if (major > NEEDED[0] || (major === NEEDED[0] && minor >= NEEDED[1])) return
  const message = `fastify-context-orm and MikroORM 7 need Node ${NEEDED.join('.')} or newer, and this is Node ${version}: install a newer one, from https://nodejs.org`
  throw Object.assign(new Error(message), { code: 'FST_ORM_UNSUPPORTED' })
}

checkNode(process.versions.node)
