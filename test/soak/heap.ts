/**
 * What is still flat. The heap after a garbage collection goes up and down with what the requests hold that are running
 * (64 of them, some kilobytes each), and grows a little while V8 compiles. A context that is kept for good is at least 2 kB
 * with its EntityManager, and there are hundreds in a second.
 */
const TOLERANCE_BYTES = 3 * 2 ** 20

/** Compares medians of the second and of the last quarter: in the first, everything is compiled and cached. */
export function heapGrowth (samples: number[]): { before: number, after: number, problems: string[] } {
  const quarter = Math.floor(samples.length / 4)
  const before = median(samples.slice(quarter, 2 * quarter))
  const after = median(samples.slice(-quarter))
  const problems = after - before > TOLERANCE_BYTES
    ? [`The heap has grown from ${toMegabytes(before)} MB in the second quarter to ${toMegabytes(after)} MB in the last`]
    : []
  return { before, after, problems }
}

export function toMegabytes (bytes: number): string {
  return (bytes / 2 ** 20).toFixed(1)
}

function median (numbers: number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)]!
}
