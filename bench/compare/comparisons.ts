import type { Contender } from '../contender.ts'
import type { Benchmark } from '../environment.ts'
import { compareFirstRequests } from '../first-requests.ts'
import { workloads } from '../workloads.ts'
import { compareWorkload } from './compare-workload.ts'

/** What two commits can be compared by. */
export const COMPARABLE: string[] = [...Object.keys(workloads), 'first-requests']

/** This code beside that of another commit, whose benchmark is in that folder. */
export function comparisons (reference: string, folder: URL): Record<string, Benchmark> {
  const before: Contender = { name: reference, variant: "'on-write'", folder }
  const after: Contender = { name: 'this code', variant: "'on-write'" }
  return {
    ...Object.fromEntries(Object.entries(workloads).map(([name, workload]): [string, Benchmark] => [name, bench => compareWorkload(bench, workload, before, after)])),
    'first-requests': bench => compareFirstRequests(bench, before, after)
  }
}
