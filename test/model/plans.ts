import type { Plan } from './world.ts'

interface SearchedPlan extends Plan {
  /** Fewer would mean that something cannot happen any more that can. */
  leastStates: number
}

/** The worlds that are searched. */
export const PLANS: readonly SearchedPlan[] = [
  { name: 'a request', leastStates: 36_000, pool: 1, contexts: [{}], mishaps: 3, can: new Set(['fail', 'hooks', 'settle by hand', 'retry', 'timeout']) },
  { name: 'a request with a branch, on SQLite', leastStates: 17_000, pool: 1, isSingle: true, contexts: [{}, { branchOf: 0 }], mishaps: 1, can: new Set(['fail', 'settle by hand']) },
  { name: 'a request with a branch, on a pool of one', leastStates: 17_000, pool: 1, contexts: [{}, { branchOf: 0 }], mishaps: 2, can: new Set(['fail', 'retry', 'timeout']) },
  { name: 'a request with a branch that is left behind, on a pool of two', leastStates: 21_000, pool: 2, contexts: [{}, { branchOf: 0, isLeftBehind: true }], mishaps: 1, can: new Set(['fail', 'timeout']) },
  { name: 'two requests on a pool of one', leastStates: 43_000, pool: 1, contexts: [{}, {}], mishaps: 1, can: new Set(['fail', 'timeout']) },
  { name: 'two requests, each with a branch, on a pool of two', leastStates: 38_000, pool: 2, contexts: [{}, { branchOf: 0 }, {}, { branchOf: 2 }], mishaps: 0, can: new Set() },
  { name: 'a request with statements at once', leastStates: 4000, pool: 1, contexts: [{}], mishaps: 2, can: new Set(['fail', 'settle by hand', 'parallel']) },
  { name: 'a request with statements at once, on a pool that another one shares', leastStates: 4000, pool: 1, contexts: [{}, {}], mishaps: 1, can: new Set(['parallel']) },
  { name: 'a request with a savepoint, and what is written beside', leastStates: 25_000, pool: 1, contexts: [{}], mishaps: 1, can: new Set(['fail', 'settle by hand', 'parallel', 'savepoints']) },
  { name: 'a request that reads rows, and replies with a stream', leastStates: 18_000, pool: 1, contexts: [{}], mishaps: 2, can: new Set(['fail', 'settle by hand', 'savepoints', 'streams']) },
  { name: 'a request that reads rows, with a branch, on SQLite', leastStates: 500, pool: 1, isSingle: true, contexts: [{}, { branchOf: 0 }], mishaps: 0, can: new Set(['streams']) },
  { name: 'a request that reads rows, with a branch, on a pool of one', leastStates: 700, pool: 1, contexts: [{}, { branchOf: 0 }], mishaps: 1, can: new Set(['streams']) },
  { name: 'two requests that read rows, on a pool of one', leastStates: 5000, pool: 1, contexts: [{}, {}], mishaps: 0, can: new Set(['streams']) },
  { name: 'a request whose reply is hijacked', leastStates: 12_000, pool: 1, contexts: [{}], mishaps: 2, can: new Set(['fail', 'hooks', 'settle by hand', 'hijack']) }
]
