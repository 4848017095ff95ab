import { toMegabytes } from './heap.ts'
import type { SoakResult } from './run-soak.ts'

const SHOWN_PROBLEMS = 20

/** A table of how many requests ended how, by what their clients saw. */
export function summarize ({ ledger, killed, traces, heap, problems }: SoakResult, seconds: number): string {
  const counts = ledger.count()
  const statuses = [...new Set([...counts.values()].flatMap(ofEnding => [...ofEnding.keys()]))].sort()
  const row = (name: string, cells: unknown[]): string => name.padEnd(10) + cells.map(cell => String(cell).padStart(9)).join('')
  return [
    row('ending', [...statuses, 'all']),
    ...[...counts].map(([ending, ofEnding]) => row(ending, [
      ...statuses.map(status => ofEnding.get(status) ?? 0), [...ofEnding.values()].reduce((sum, count) => sum + count, 0)
    ])),
    '',
    `${ledger.size} requests, ${Math.round(ledger.size / seconds)} a second; ${killed} connections killed, ${ledger.inDoubt} commits in doubt`,
    `${traces.held} requests, of ${traces.kinds} kinds, were held against the model of settling`,
    `heap: ${toMegabytes(heap.before)} MB in the second quarter, ${toMegabytes(heap.after)} MB in the last`,
    '',
    problems.length === 0 ? 'All is as the clients were told.' : `${problems.length} problems:`,
    ...problems.slice(0, SHOWN_PROBLEMS).map(problem => `- ${problem}`),
    ...(problems.length > SHOWN_PROBLEMS ? [`… and ${problems.length - SHOWN_PROBLEMS} more`] : [])
  ].join('\n')
}
