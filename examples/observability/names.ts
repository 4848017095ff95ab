// in a project of one's own: from 'fastify-context-orm'
import type { ContextDescription } from '../../index.ts'

/**
 * A name of a context that is one of few: each value of a label is a time series of its own, for ever. So a request is
 * its route, never its url, and a `runInContext()` one of the `known` names, for a name may hold an id (`job 17`).
 */
export function nameOf ({ kind, method, route, name }: ContextDescription, known: ReadonlySet<string>): string {
  if (kind === 'request') return `${method} ${route ?? '(no route)'}`
  return name !== undefined && known.has(name) ? name : '(other)'
}
