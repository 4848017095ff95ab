import { readFile, writeFile } from 'node:fs/promises'
import type { Machine } from './machine.ts'
import type { Result } from './result.ts'

/** A result as it is kept, with where it comes from. */
export interface Kept extends Omit<Result, 'plot'> {
  name: string
  date: string
  rounds: number
  seconds: number
  machine: Machine
}

export const RESULTS = new URL('results/', import.meta.url)

export async function keep (kept: Kept): Promise<void> {
  // one line for the values of all rounds
  const json = JSON.stringify(kept, null, 2).replace(/\[\s+([-\d.,\s]+?)\s+\]/g, (_, numbers: string) => `[${numbers.replaceAll(/\s+/g, ' ')}]`)
  await writeFile(new URL(`${kept.name}.json`, RESULTS), `${json}\n`)
}

/** What was last measured of the benchmarks of these names. */
export async function readAll (names: string[]): Promise<Kept[]> {
  const all: Kept[] = []
  for (const name of names) {
    const json = await readFile(new URL(`${name}.json`, RESULTS), 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error
    })
    if (json !== undefined) all.push(JSON.parse(json))
  }
  return all
}
