import type { Contender } from '../contender.ts'
import type { Bench } from '../environment.ts'
import { showStatements } from '../goals.ts'
import { columnsOf, pairCells, pairHead } from '../pair-table.ts'
import type { Result } from '../result.ts'
import { countSteps, measureInTurn, type Sample } from '../rounds.ts'
import type { Workload } from '../workloads.ts'

/** The same workload by two commits in turn. */
export async function compareWorkload (bench: Bench, { title, load, pool }: Workload, before: Contender, after: Contender): Promise<Result> {
  const race = { variants: [before, after], pool, loads: [load] }
  bench.progress.start(title, countSteps(bench, race))
  const [[a, b]] = await measureInTurn(bench, race) as [[Sample[], Sample[]]]
  const statements = ({ name }: Contender, samples: Sample[]): [string, string] => [`statements: ${name}`, showStatements(samples.at(-1)!.statements)]
  const columns = [statements(before, a), statements(after, b)]
  return {
    title,
    table: [
      ['', ...pairHead(before.name, after.name), 'faster in', ...columns.map(([head]) => head)],
      ['a request', ...pairCells(a, b), `${b.filter(({ rate }, i) => rate > a[i]!.rate).length} of ${b.length}`, ...columns.map(([, cell]) => cell)]
    ],
    goals: [],
    data: { [before.name]: columnsOf(a), [after.name]: columnsOf(b) }
  }
}
