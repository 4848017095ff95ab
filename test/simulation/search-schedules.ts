import fc from 'fast-check'
import { scripts, troubles } from './script.ts'
import { Simulation } from './simulation.ts'

export interface Schedules {
  runs: number
  seed: number
  /** Where a failure was found, as `--path` has it. */
  path?: string | undefined
  onRun? (): void
}

/** Runs requests in so many orders. Resolves with what is wrong in the smallest that fails; `undefined` if none does. */
export async function searchSchedules ({ runs, seed, path, onRun = () => {} }: Schedules): Promise<string | undefined> {
  const simulation = await Simulation.start()
  try {
    const property = fc.asyncProperty(scripts, troubles, fc.scheduler(), async (scripts, troubles, scheduler) => {
      const problems = await simulation.run(scripts, troubles, scheduler)
      onRun()
      if (problems.length > 0) throw new Error(problems.join('\n'))
    })
    const result = await fc.check(property, { numRuns: runs, seed, ...path === undefined ? {} : { path } })
    if (!result.failed) return undefined
    const counterexample = result.counterexample?.map(part => fc.stringify(part)).join('\n')
    return `${(result.errorInstance as Error).stack}\n${counterexample}\nnpm run simulate -- --seed ${result.seed} --runs ${runs} --path ${result.counterexamplePath}`
  } finally {
    await simulation.stop()
  }
}
