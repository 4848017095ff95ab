import { SOMETHING_ELSE_MS } from './app.ts'
import type { Load } from './driver.ts'
import type { GoalOfRatio, GoalOfStatements } from './goals.ts'
import { ALL, TO_THE_LIMIT, WITH_DATABASE, type VariantName } from './variants/variants.ts'

export interface Workload {
  title: string
  load: Load
  /** Connections in the pool of each server. */
  pool: number
  variants: VariantName[]
  goals: (GoalOfRatio | GoalOfStatements)[]
}

const OURS = "'on-write'"
const DEFAULTS = { pool: 10, variants: TO_THE_LIMIT, goals: [] }

export const workloads = {
  'no-database': {
    ...DEFAULTS,
    title: 'A route that touches no database',
    load: { method: 'GET', path: '/nothing', connections: 20, status: 200 },
    variants: ALL,
    goals: [
      { figure: 'cpuMicroseconds', of: OURS, to: 'floor', atMost: 1.02 },
      { figure: 'rate', of: OURS, to: 'recipe', atLeast: 1.25 },
      { of: OURS, statements: {} }
    ]
  },
  read: {
    ...DEFAULTS,
    title: 'Read one row',
    load: { method: 'GET', path: '/book', connections: 20, status: 200 },
    goals: [{ figure: 'rate', of: OURS, to: 'recipe', atLeast: 1.1 }, { of: OURS, statements: { select: 1 } }]
  },
  list: {
    ...DEFAULTS,
    title: 'List 50 rows',
    load: { method: 'GET', path: '/books', connections: 20, status: 200 },
    goals: [{ figure: 'rate', of: OURS, to: 'recipe', atLeast: 1.05 }]
  },
  insert: {
    ...DEFAULTS,
    title: 'Insert one row',
    load: { method: 'POST', path: '/loan', connections: 20, status: 201 },
    goals: [{ figure: 'rate', of: OURS, to: 'recipe', atLeast: 1.15 }, { of: OURS, statements: { begin: 1, commit: 1, insert: 1 } }]
  },
  wait: {
    ...DEFAULTS,
    title: `Read, wait ${SOMETHING_ELSE_MS} ms for something else, write: 100 clients, a pool of 5`,
    load: { method: 'POST', path: '/wait', connections: 100, status: 201 },
    pool: 5,
    goals: [
      { figure: 'rate', of: OURS, to: 'transaction per request', atLeast: 5 },
      { of: OURS, statements: { begin: 1, commit: 1, insert: 1, select: 1 } }
    ]
  },
  conflict: {
    ...DEFAULTS,
    title: 'A 409 after a flush',
    load: { method: 'POST', path: '/conflict', connections: 20, status: 409 }
  },
  throw: {
    ...DEFAULTS,
    title: 'A throw',
    load: { method: 'GET', path: '/throw', connections: 20, status: 500 },
    variants: WITH_DATABASE
  }
} satisfies Record<string, Workload>
