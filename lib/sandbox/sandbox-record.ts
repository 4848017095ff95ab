import type { ContextDescription } from '../context/context-description.ts'
import type { ContextOrmChannels, HookEvent, SettledEvent, StatementEvent } from '../context/events.ts'
import type { Ending, Outcome } from '../context/settlement.ts'
import { listen } from '../util/listen.ts'

/** A context of a sandbox that has used a database: what it has done so far. With several databases, numbers are sums. */
export interface SandboxContext extends ContextDescription {
  /** `undefined` as long as it is not settled. */
  readonly outcome: Outcome | undefined
  /** What has caused that. */
  readonly ending: Ending | undefined
  /** What has made it fail, if an error has. */
  readonly error: unknown
  /** Statements that began with `select`. */
  readonly reads: number
  /** All others, without those that begin and end transactions and savepoints. */
  readonly writes: number
  /** Flushes that had something to write. */
  readonly flushes: number
  /** Which attempt at its work it is: 1, unless that has `retry`. */
  readonly attempts: number
  /** The hooks that have run, in that order. */
  readonly hooks: readonly HookEvent[]
  /** Its statements, as they were answered. */
  readonly statements: readonly StatementEvent[]
}

type Mutable<T> = { -readonly [Name in keyof T]: T[Name] extends readonly (infer Item)[] ? Item[] : T[Name] }

/** What has happened in the contexts of a sandbox, until it ends. */
export class SandboxRecord {
  /** In the order of their first use. */
  readonly contexts: Mutable<SandboxContext>[] = []
  /** Of all of them, in the order of their answers. */
  readonly statements: StatementEvent[] = []
  readonly #byId = new Map<number, Mutable<SandboxContext>>()
  /** Notes nothing more. */
  readonly stop: () => void = listen<ContextOrmChannels>({
    'fastify-context-orm:statement': event => this.#addStatement(event),
    'fastify-context-orm:hook': event => { this.#byId.get(event.id)?.hooks.push(event) },
    'fastify-context-orm:settled': event => this.#settle(event)
  })

  /** The context uses a database of the sandbox. */
  note (description: ContextDescription): void {
    if (this.#byId.has(description.id)) return
    const context = {
      ...description, outcome: undefined, ending: undefined, error: undefined, reads: 0, writes: 0, flushes: 0, attempts: 1, hooks: [], statements: []
    }
    this.#byId.set(description.id, context)
    this.contexts.push(context)
  }

  #addStatement (event: StatementEvent): void {
    const context = this.#byId.get(event.context.id)
    if (context === undefined) return
    context.statements.push(event)
    this.statements.push(event)
  }

  #settle ({ id, outcome, ending, error, reads, writes, flushes, attempts }: SettledEvent): void {
    const context = this.#byId.get(id)
    if (context === undefined) return
    Object.assign(context, { outcome, ending, error, attempts })
    context.reads += reads
    context.writes += writes
    context.flushes += flushes
  }
}
