import type { ContextOrmChannels, ContextView, StatementEvent } from '../../../index.ts'
import { shorten } from '../../sql/statement.ts'
import { withoutValues } from '../../sql/without-values.ts'
import { listen } from '../../util/listen.ts'
import { at, nameOf, type Findings } from './findings.ts'

/** Finds N+1: statements of one shape, one after the other. It names the line that has asked for most of them. */
export function guardRepeatedStatements (findings: Findings, maxRepeats: number): () => void {
  const seen = new WeakMap<ContextView, Map<string, Lines>>()
  const onStatement = ({ context, kind, sql, sent, line }: StatementEvent): void => {
    if (!sent || (kind !== 'read' && kind !== 'write')) return
    const shapes = seen.get(context) ?? new Map<string, Lines>()
    seen.set(context, shapes)
    const shape = withoutValues(sql, 'unknown')
    const lines = shapes.get(shape) ?? new Lines()
    shapes.set(shape, lines)
    if (lines.add(line) <= maxRepeats) return
    findings.tell('repeatedStatements', context, shape, `${nameOf(context)} sends the same statement more than ${maxRepeats} times, ${at(lines.most)}: ${shorten(shape)}. Load what is needed at once: populate, or a query with $in`)
  }
  return listen<ContextOrmChannels>({ 'fastify-context-orm:statement': onStatement })
}

/** How often which line has asked. */
class Lines {
  readonly #counts = new Map<string | undefined, number>()
  #all = 0

  /** Gives how often any has. */
  add (line: string | undefined): number {
    this.#counts.set(line, (this.#counts.get(line) ?? 0) + 1)
    return ++this.#all
  }

  get most (): string | undefined {
    return [...this.#counts].sort(([, one], [, other]) => other - one)[0]![0]
  }
}
