import type { FastifyBaseLogger, FastifyError } from 'fastify'
import { afterRollback, beforeCommit, context, type ContextView } from '../../../index.ts'
import { withCallersLine } from '../../errors.ts'
import { lineOfApp } from '../../util/line-of-app.ts'
import { FST_ORM_GUARD } from './errors.ts'
import type { GuardName, Settings } from './options.ts'

/** Where what is found is logged; `undefined` if there is no log, and `null` if it is none of our business. */
export type LogOf = (view: ContextView) => Pick<FastifyBaseLogger, 'warn' | 'error'> | undefined | null

/** What the guards have found: it is logged, and makes the work fail that it was found in, if that is asked for. */
export class Findings {
  readonly #levels: Settings['levels']
  readonly #logOf: LogOf
  /** What was told already, by context. */
  readonly #told = new WeakMap<ContextView, Set<string>>()
  /** Those that cannot be committed any more. */
  readonly #failing = new WeakSet<ContextView>()

  constructor (levels: Settings['levels'], logOf: LogOf) {
    this.#levels = levels
    this.#logOf = logOf
  }

  /**
   * The work of `view`, which is the caller's context, is not to be committed, if the guard says so. A subscriber to an event cannot throw
   * at who has caused it (Node makes an uncaught exception of that). What is the same has the same `key`, and is told once. Of
   * what `canFail` no more, it is only told.
   */
  tell (guard: GuardName, view: ContextView, key: string, found: string, canFail = true): void {
    const log = this.#logOf(view)
    if (log === null || this.#wasTold(view, `${guard} ${key}`)) return
    const error = new FST_ORM_GUARD(guard, found)
    if (canFail && this.#levels[guard] === 'error' && !this.#failing.has(view) && failAtCommit(view, error)) this.#failing.add(view)
    else this.#log(log, guard, error)
  }

  /** Tells of what the caller does. Throws at the caller if the guard is set to 'error'. */
  refuse (guard: GuardName, view: ContextView, found: string): void {
    const log = this.#logOf(view)
    if (log === null) return
    const error = withCallersLine(() => new FST_ORM_GUARD(guard, found))
    if (this.#levels[guard] === 'error') throw error
    this.#log(log, guard, error)
  }

  #wasTold (view: ContextView, key: string): boolean {
    const told = this.#told.get(view) ?? new Set()
    this.#told.set(view, told)
    return told.size === told.add(key).size
  }

  #log (log: ReturnType<LogOf>, guard: GuardName, { code, message }: FastifyError): void {
    if (log) log[this.#levels[guard]!]({ code, guard }, message)
    else process.emitWarning(message, { type: 'FastifyContextOrmWarning', code })
  }
}

/** The context of the caller, if there is one that is not opted out. */
export function currentView (): ContextView | undefined {
  try {
    return context()
  } catch {
    return undefined
  }
}

/** Such as `POST /books`. */
export function nameOf ({ kind, method, route, name }: ContextView): string {
  return kind === 'request' ? `${method} ${route ?? '(no route found)'}` : name!
}

/** The line of the app that calls. */
export function callersLine (): string | undefined {
  return lineOfApp(withCallersLine(() => new Error('here')).stack)
}

export function at (line: string | undefined): string {
  return `at ${line ?? 'a line out of sight'}`
}

/** Whether it can be had: after the end, it is too late. */
function failAtCommit (view: ContextView, error: Error): boolean {
  if (currentView() !== view) return false
  const arm = (): boolean => {
    try {
      beforeCommit(() => { throw error })
      // an em.transactional(), or the whole, was rolled back by hand: what was found has happened all the same
      afterRollback(arm)
      return true
    } catch {
      return false
    }
  }
  return arm()
}
