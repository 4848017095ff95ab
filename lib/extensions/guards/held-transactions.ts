import type { BegunEvent, ContextOrmChannels, StatementEvent } from '../../../index.ts'
import { listen } from '../../util/listen.ts'
import { describeBeginning } from './beginnings.ts'
import { nameOf, type Findings } from './findings.ts'

interface Held {
  readonly event: BegunEvent
  readonly since: number
  readonly timer: NodeJS.Timeout
}

/** Finds transactions that are held for long, while they are: what hangs tells of itself as well. */
export function guardHeldTransactions (findings: Findings, maxHeldMs: number): () => void {
  const open = new Map<number, Held>()
  const tell = ({ event, since }: Held, canFail: boolean): void => {
    const held = Math.round(performance.now() - since)
    findings.tell('heldTransactions', event.context, String(event.transaction), `${nameOf(event.context)} has held a connection to "${event.database}" for ${held} ms by its transaction, ${describeBeginning(event)}. Do what is slow before the first write, or after commit()`, canFail)
  }
  const onBegun = (event: BegunEvent): void => {
    const timer = setTimeout(() => {
      open.delete(event.transaction)
      if (event.context.isHolding) tell(held, event.context.state === 'held') // or its connection has died, or it is being committed
    }, maxHeldMs).unref()
    const held: Held = { event, since: performance.now(), timer }
    open.set(event.transaction, held)
  }
  const onStatement = ({ kind, transaction }: StatementEvent): void => {
    const held = (kind === 'commit' || kind === 'rollback') && open.get(transaction!)
    if (!held) return
    open.delete(transaction!)
    clearTimeout(held.timer)
    if (performance.now() - held.since > maxHeldMs) tell(held, false) // the process was busy, and the timer late
  }
  const stop = listen<ContextOrmChannels>({ 'fastify-context-orm:begun': onBegun, 'fastify-context-orm:statement': onStatement })
  return () => {
    stop()
    for (const { timer } of open.values()) clearTimeout(timer)
    open.clear()
  }
}
