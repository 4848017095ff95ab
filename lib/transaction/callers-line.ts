import { AsyncLocalStorage } from 'node:async_hooks'
import { withCallersLine } from '../errors.ts'
import { lineOfApp } from '../util/line-of-app.ts'

/** Instead of a line, for a flush that nobody has called. */
const AT_THE_END = 'flush at the end'

/**
 * Where a flush, `em.execute()` or `em.transactional()` was called: from the statements in it, V8 does not see through all of the promises
 * of MikroORM 7.2.1.
 */
const calledAt = new AsyncLocalStorage<string>()
let listeners = 0

/**
 * From now on, the events `begun` and `statement` have the `line` of the app that asked for the statement, until the function that it
 * returns is called. It costs a stack trace for each statement.
 */
export function captureLines (): () => void {
  let isOver = false
  listeners++
  return () => {
    if (!isOver) listeners--
    isOver = true
  }
}

/** The line of the app that calls, as `file:line:column`. `undefined` if nobody has asked for lines, or it is out of sight. */
export function callersLine (): string | undefined {
  return listeners === 0 ? undefined : visibleLine() ?? calledAt.getStore()
}

/** Runs what the line of its caller cannot be seen from. */
export function withLine<T> (run: () => T): T {
  const line = callersLine()
  return line === undefined ? run() : calledAt.run(line, run)
}

/** The same for a flush, which may have been called by nobody. */
export function withLineOfFlush<T> (flush: () => T): T {
  return listeners === 0 ? flush() : calledAt.run(callersLine() ?? AT_THE_END, flush)
}

function visibleLine (): string | undefined {
  const trace = {} as { stack: unknown }
  withCallersLine(() => Error.captureStackTrace(trace, visibleLine))
  return lineOfApp(trace.stack)
}
