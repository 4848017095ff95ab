import type { TopLevelSpec } from 'vega-lite'
import type { Goal } from './goals.ts'

/** What a benchmark gives. */
export interface Result {
  title: string
  /** The first row is the head. */
  table: string[][]
  goals: Goal[]
  /** What the table and the goals were calculated from. */
  data: object
  plot?: TopLevelSpec
}
