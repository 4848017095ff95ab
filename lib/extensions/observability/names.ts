import type { ContextDescription, StatementEvent } from '../../../index.ts'

/**
 * A name of a context that is one of few: each value of an attribute is a time series of its own, for ever. So a request is its route, never
 * its URL, and a `runInContext()` one of the `known` names, for a name may hold an id (`job 17`).
 */
export function seriesOf ({ kind, method, route, name }: ContextDescription, known: ReadonlySet<string>): string {
  if (kind === 'request') return `${method} ${route ?? '(no route)'}`
  return name !== undefined && known.has(name) ? name : '(other)'
}

/** Each server has a pool of its own. */
export function poolOf ({ database, replica, server }: Pick<StatementEvent, 'database' | 'replica' | 'server'>): string {
  return replica ? `${database} (${server})` : database
}
