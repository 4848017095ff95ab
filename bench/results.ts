import { readFile, writeFile } from 'node:fs/promises'
import type { EngineName } from './database.ts'
import type { Machine } from './machine.ts'
import type { Result } from './result.ts'

/** A result as it is kept, with where it comes from. */
export interface Kept extends Omit<Result, 'plot'> {
  name: string
  /** Without one, it is PostgreSQL. */
  engine?: EngineName
  date: string
  rounds: number
  seconds: number
  machine: Machine
}

export const RESULTS = new URL('results/', import.meta.url)

export async function keep (kept: Kept): Promise<void> {
  // one line for the values of all rounds
  const json = JSON.stringify(kept, null, 2).replace(/\[\s+([-\d.,\s]+?)\s+\]/g, (_, numbers: string) => `[${numbers.replaceAll(/\s+/g, ' ')}]`)
  await writeFile(new URL(`${fileName(kept.name, kept.engine)}.json`, RESULTS), `${json}\n`)
}

/** Without its ending. */
export function fileName (name: string, engine: EngineName = 'postgresql'): string {
  return engine === 'postgresql' ? name : `${name}-${engine}`
}

/** What was last measured of the benchmarks of these names, on one engine after the other. */
export async function readAll (names: string[]): Promise<Kept[]> {
  const all: Kept[] = []
  for (const file of [...names, ...names.map(name => fileName(name, 'mariadb'))]) {
    const json = await readFile(new URL(`${file}.json`, RESULTS), 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error
    })
    if (json !== undefined) all.push(JSON.parse(json))
  }
  return all
}
