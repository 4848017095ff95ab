import type { TopLevelSpec } from 'vega-lite'

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

/** A goal, and what became of it. */
export interface Goal {
  goal: string
  measured: string
  isReached: boolean
}
