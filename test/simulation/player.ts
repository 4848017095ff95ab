import type { FastifyReply } from 'fastify'
import type { SettledEvent } from '../../lib/context/events.ts'
import type { Script } from './script.ts'

/** One request in a run, and what became of it. */
export class Player {
  readonly id: string
  readonly script: Script
  reply: FastifyReply | undefined
  isGone = false
  /** Somebody else than the handler has sent a reply, or the client has left. */
  isAnswered = false
  isDone = false
  status: number | undefined
  /** The titles that a write has succeeded with, since the last commit or rollback by hand. */
  written: string[] = []
  /** Those of branches, which end by themselves; by whether they have returned. */
  readonly branches = new Map<string, boolean | undefined>()
  rows = 0
  /** A statement has failed since the last commit or rollback by hand. */
  hasFailed = false
  /** The titles that were taken back: by hand, by `em.transactional()`, or with an attempt that is made again. */
  readonly takenBack: string[] = []
  /** The next attempt is on its way. */
  isBetweenAttempts = false
  /** It was attempted again, though something was committed that would be done twice. */
  isRepeated = false
  /** What Fastify does at the end of `handlerTimeout`. */
  timeOut: (() => void) | undefined

  constructor (id: string, script: Script) {
    this.id = id
    this.script = script
  }

  /** Its work is done again from the beginning. */
  beginAgain (): void {
    this.isRepeated ||= [...this.branches.values()].includes(true)
    this.takenBack.push(...this.written)
    this.written = []
    this.hasFailed = false
    this.isBetweenAttempts = false
  }

  /** What is wrong with these rows and endings. */
  problems (rows: string[], settled: SettledEvent[]): string[] {
    const { id, status, written, takenBack, branches, isGone, hasFailed } = this
    const problems: string[] = []
    const own = settled.filter(({ requestId, kind }) => requestId === id && kind === 'request')
    const last = own.at(-1)
    if (own.some(({ attempts }, i) => i > 0 && attempts <= own[i - 1]!.attempts)) problems.push(`${id} was settled ${own.length} times, by its attempts ${own.map(({ attempts }) => attempts).join()}`)
    if (own.slice(0, -1).some(({ outcome }) => outcome === 'committed')) problems.push(`${id} was attempted again after ${own.map(({ outcome }) => outcome).join()}`)
    if (this.isRepeated) problems.push(`${id} was attempted again, though ${[...branches.keys()].join()} were committed`)
    const isInDoubt = last?.outcome === 'commitFailed'
    const count = (title: string): number => rows.filter(other => other === title).length
    const check = (title: string, min: number, max: number, because: string): void => {
      const times = count(title)
      if (times < min || times > max) problems.push(`${title} is there ${times} times, and ${because} (status ${status}, ${last?.outcome} by ${last?.ending})`)
    }
    for (const title of written) {
      if (status !== undefined && status < 400 && !isGone) check(title, 1, 1, 'the client was told of a success')
      else if (isInDoubt || isGone) check(title, 0, 1, 'it is in doubt, or nobody was told')
      else check(title, 0, 0, 'the client was told of a failure')
      if (hasFailed) check(title, 0, 0, 'a statement beside it has failed')
      if (last?.outcome === 'rolledBack') check(title, 0, 0, 'the context was rolled back')
      if (last?.outcome === 'committed') check(title, 1, 1, 'the context was committed')
    }
    for (const title of takenBack) check(title, 0, 0, 'it was taken back')
    for (const [title, isKept] of branches) check(title, isKept === true ? 1 : 0, 1, 'it was committed by hand or in a branch')
    return problems
  }
}
