import { readFile } from 'node:fs/promises'
import { availableParallelism, cpus } from 'node:os'
import { createRequire } from 'node:module'

/** Where results come from, without names. */
export interface Machine {
  processor: string
  cores: number
  node: string
  /** Such as `PostgreSQL 18.4`. */
  database: string
  fastify: string
  mikroOrm: string
}

export async function describeMachine (database: string): Promise<Machine> {
  return {
    processor: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    node: process.versions.node,
    database,
    fastify: await versionOf('fastify'),
    mikroOrm: await versionOf('@mikro-orm/core')
  }
}

async function versionOf (name: string): Promise<string> {
  const path = createRequire(import.meta.url).resolve(`${name}/package.json`)
  return JSON.parse(await readFile(path, 'utf8')).version
}
