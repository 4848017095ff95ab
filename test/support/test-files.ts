import { globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { notAskedFor } from './asked-engines.ts'

/** They measure, mix by chance, kill servers, or start programs: what takes more than ten seconds of a processor. */
const SLOW = [/^examples\//, /^test\/(?:bench|bench\/parts|soak|model\/.*|simulation\/.*|sql\/linear-time|drivers\/dead-servers|extensions\/(?:idempotency\/killed-servers|inspector\/page)|topologies\/.*)\.test/]

/** They start servers of their own, or are about PostgreSQL as a whole. */
const NEEDS_SERVER = [
  /^examples\/(?:replicas|tenants|testing|worker)\//, /^test\/(?:bench|bench\/parts|soak|drivers\/dead-servers|extensions\/idempotency\/killed-servers|topologies\/.*|databases\/switchable)\.test/
]

/** They leave traces in their process, or need one that has none. */
const ALONE = [
  /^test\/(?:public-surface|docs\/.*|databases\/switchable|drivers\/opentelemetry)\.test/,
  /^test\/fastify\/(?:later-plugins|missing-internals|nest|websockets)\.test/,
  /^test\/cookbook\/(?:autoload|nestjs)\.test/
]

/** They look at functions, or at contexts of an SQLite in memory. */
const FAST = [
  /^test\/(?:installation|public-types|fastify\/route-records|sandbox\/sandbox-rules|mikro-orm-suite\/compare|util\/lease|sql\/command|sql\/is-read)\.test/,
  /^test\/(?:context\/(?:context|settlement)|transaction\/(?:freshness|reader-watch|transaction-owner))\.test/,
  /^test\/drivers\/(?:dialect|driver-of|kysely-subclass|pool-gate)\.test/
]

const IN_A_PROCESS = 8

const root = fileURLToPath(new URL('../..', import.meta.url))

export interface Selection {
  /** Only what takes seconds, and no server. */
  fast: boolean
  /** Only what needs no server. */
  sqlite: boolean
  /** Not what is slow. */
  quick: boolean
  /** Only what is in these; if there are none, everything. */
  folders: string[]
}

/** What is to be run, and what is left out of it. */
export function selectFiles ({ fast, sqlite, quick, folders }: Selection): { files: string[], leftOut: string[] } {
  const within = folders.length > 0 ? folders.map(folder => relative(root, resolve(folder))) : ['test', 'examples']
  const all = globSync(within.map(folder => join(folder, '**/*.test.ts')), { cwd: root, exclude: ['test/package/**', 'examples/testing/vitest/**'] })
    .map(file => file.replaceAll('\\', '/')).sort()
  const isLeftOut = (file: string): boolean => (fast && !matches(file, FAST)) || (sqlite && matches(file, NEEDS_SERVER)) || (quick && matches(file, SLOW))
  return { files: all.filter(file => !isLeftOut(file)), leftOut: all.filter(isLeftOut) }
}

/**
 * Makes files that import several of them, and leaves alone what has to be so: a process takes longer to load tap, Fastify
 * and MikroORM, and to compile them, than most files do for their tests.
 */
export function bringTogether (files: string[]): string[] {
  const isAlone = (file: string): boolean => matches(file, SLOW) || matches(file, ALONE)
  const together = files.filter(file => !isAlone(file))
  const folder = join(root, '.tap', 'together')
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  const make = (name: string, chosen: string[]): string => {
    const file = join('.tap', 'together', `${name}.test.ts`)
    writeFileSync(join(root, file), chosen.map(name => `import '${pathToFileURL(join(root, name)).href}'\n`).join(''))
    return file
  }
  const inGroups = (name: string, chosen: string[]): string[] => {
    const groups = Math.ceil(chosen.length / IN_A_PROCESS)
    // every so-manieth of them: neighbours in the alphabet are often alike, and as slow
    return Array.from({ length: groups }, (_, i) => make(`${name}${i + 1}-of-${groups}`, chosen.filter((_, j) => j % groups === i)))
  }
  const made = [...inGroups('on-every-engine-', together.filter(needsPglite)), ...inGroups('', together.filter(file => !needsPglite(file)))]
  return [...files.filter(isAlone), ...made] // the slow ones first, so that none is left at the end
}

/** Starting one takes seconds: not every process shall have to. */
function needsPglite (file: string): boolean {
  return !notAskedFor('pglite') && /\bon(?:EveryEngine|Pglite|SingleConnection)\(/.test(readFileSync(join(root, file), 'utf8'))
}

function matches (file: string, patterns: RegExp[]): boolean {
  return patterns.some(pattern => pattern.test(file))
}
