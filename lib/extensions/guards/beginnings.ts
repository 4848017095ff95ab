import type { BegunEvent, ContextOrmChannels, ContextView } from '../../../index.ts'
import { shorten } from '../../sql/statement.ts'
import { listen } from '../../util/listen.ts'
import { at } from './findings.ts'

/** Remembers which line and which statement have begun the transaction of a context. */
export class Beginnings {
  readonly #of = new WeakMap<ContextView, string>()

  start (): () => void {
    return listen<ContextOrmChannels>({
      'fastify-context-orm:begun': event => { this.#of.set(event.context, describeBeginning(event)) }
    })
  }

  of (view: ContextView): string {
    return this.#of.get(view) ?? 'begun before the guards were there'
  }
}

export function describeBeginning ({ line, sql }: BegunEvent): string {
  return `begun ${at(line)}${sql === undefined ? '' : `, with: ${shorten(sql)}`}`
}
