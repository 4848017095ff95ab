import { globSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

/** They measure, mix by chance, kill servers, or start programs: what takes more than ten seconds of a processor. */
const SLOW = [/^examples\//, /^test\/(?:bench|soak|drivers\/dead-servers)\.test/]

/** They start servers of their own, or are about PostgreSQL as a whole. */
const NEEDS_POSTGRES = [
  /^examples\/(?:tenants|testing|worker)\//, /^test\/(?:bench|soak|drivers\/dead-servers|drivers\/pgbouncer|databases\/switchable)\.test/
]

/** They leave traces in their process, or need one that has none. */
const ALONE = [
  /^test\/(?:public-surface|readme|databases\/switchable|drivers\/opentelemetry)\.test/,
  /^test\/fastify\/(?:later-plugins|missing-internals|nest|websockets)\.test/
]

/** They look at functions, or at contexts of an SQLite in memory. */
const FAST = [
  /^test\/(?:installation|fastify\/route-records|sandbox\/sandbox-rules|util\/lease|sql\/command|sql\/is-read)\.test/,
  /^test\/(?:context\/(?:context|settlement)|transaction\/(?:reader-watch|transaction-owner))\.test/,
  /^test\/drivers\/(?:dialect|driver-of|kysely-subclass|pool-gate)\.test/
]

const IN_A_PROCESS = 8

const root = fileURLToPath(new URL('../..', import.meta.url))

export interface Selection {
  /** Only what takes seconds, and no server. */
  fast: boolean
  /** Only what needs no PostgreSQL. */
  sqlite: boolean
  /** Not what is slow. */
  quick: boolean
}

/** What is to be run, and what is left out of it. */
export function selectFiles ({ fast, sqlite, quick }: Selection): { files: string[], leftOut: string[] } {
  const all = globSync(['test/**/*.test.ts', 'examples/**/*.test.ts'], { cwd: root, exclude: ['test/package/**', 'examples/testing/vitest/**'] })
    .map(file => file.replaceAll('\\', '/')).sort()
  const isLeftOut = (file: string): boolean => (fast && !matches(file, FAST)) || (sqlite && matches(file, NEEDS_POSTGRES)) || (quick && matches(file, SLOW))
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
  const groups = Math.ceil(together.length / IN_A_PROCESS)
  const made = Array.from({ length: groups }, (_, i) => {
    const file = join('.tap', 'together', `${i + 1}-of-${groups}.test.ts`)
    // every so-manieth of them: neighbours in the alphabet are often alike, and as slow
    const imports = together.filter((_, j) => j % groups === i).map(name => `import '${pathToFileURL(join(root, name)).href}'\n`)
    writeFileSync(join(root, file), imports.join(''))
    return file
  })
  return [...files.filter(isAlone), ...made] // the slow ones first, so that none is left at the end
}

function matches (file: string, patterns: RegExp[]): boolean {
  return patterns.some(pattern => pattern.test(file))
}
