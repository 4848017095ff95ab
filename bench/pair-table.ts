import { median, ratioOf, showRatio } from './ratios.ts'
import type { Sample } from './rounds.ts'

/** The head of what `pairCells()` gives. */
export function pairHead (before: string, after: string): string[] {
  return [`requests/s: ${before}`, after, 'ratio', `CPU µs: ${before}`, after, 'ratio']
}

/** Medians of both, and of the ratios of their pairs. */
export function pairCells (before: Sample[], after: Sample[]): string[] {
  return (['rate', 'cpuMicroseconds'] as const).flatMap(figure => {
    const [a, b] = [before, after].map(samples => samples.map(sample => sample[figure])) as [number[], number[]]
    return [median(a).toFixed(0), median(b).toFixed(0), showRatio(ratioOf(b, a))]
  })
}

/** What is shown, of all rounds side by side. */
export function columnsOf (samples: Sample[]): object {
  return {
    rate: samples.map(({ rate }) => Number(rate.toPrecision(5))),
    cpuMicroseconds: samples.map(({ cpuMicroseconds }) => Number(cpuMicroseconds.toPrecision(5))),
    statements: samples.at(-1)!.statements
  }
}
