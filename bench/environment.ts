import type { Database } from './database.ts'
import type { Progress } from './progress.ts'
import type { Result } from './result.ts'

/** What a benchmark works with. */
export interface Bench {
  database: Database
  rounds: number
  /** How long each variant is driven in each round. */
  seconds: number
  /** How many of each are started where processes are what is measured. */
  processes: number
  /** A folder for CPU profiles of the servers. */
  profiles?: string
  progress: Pick<Progress, 'start' | 'step'>
}

/** Calls `bench.progress.start()` first, and then `step()` before each thing that takes long. */
export type Benchmark = (bench: Bench) => Promise<Result>
