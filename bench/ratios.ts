/** Of pairs that were measured one after the other. */
export interface Ratio {
  median: number
  min: number
  max: number
}

export function ratioOf (numerators: number[], denominators: number[]): Ratio {
  const ratios = numerators.map((numerator, i) => numerator / denominators[i]!)
  return { median: median(ratios), min: Math.min(...ratios), max: Math.max(...ratios) }
}

export function median (numbers: number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}
