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

/** As `1.05 (0.93 to 1.19)`. */
export function showRatio ({ median, min, max }: Ratio): string {
  return `${median.toFixed(2)} (${min.toFixed(2)} to ${max.toFixed(2)})`
}

export function median (numbers: number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}
