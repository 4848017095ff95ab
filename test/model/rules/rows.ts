import { mayGoWrong, step, type Rule } from '../step.ts'
import type { ContextState, Laws, World } from '../world.ts'
import { throwOf } from './reply.ts'
import { use } from './use.ts'

/** The work reads rows from a stream: in the transaction once that has begun, and otherwise on a connection of its own. */
export const workReadsRows: Rule = (world, number, { plan }) => {
  const { work, rows, transaction, position, beside, isGone } = world.contexts[number]!
  if (work !== 'running' || !plan.can.has('streams')) return []
  if (rows !== 'none') return [step(world, number, 'has read its rows', { sight: 'has read its rows' }, leaveRows)]
  if (position.state === 'released' || (isGone && position.state === 'unused') || beside !== 'none') return []
  const isEnded = position.ending !== undefined
  if (transaction === 'open' && !isEnded) return [step(world, number, 'reads rows in the transaction', { sight: 'reads rows' }, context => { context.rows = 'in transaction' })]
  return (transaction === 'none' || isEnded) && world.free > 0 ? [step(world, number, 'reads rows', { sight: 'reads rows' }, openRows)] : []
}

/** Beside rows that are read in the transaction, nothing can be sent; nor on SQLite, which has one connection. */
export function areInTheWay ({ rows }: ContextState, { plan }: Laws): boolean {
  if (rows === 'outside') return plan.isSingle === true
  return rows === 'in transaction'
}

/** A commit cuts rows that are still read in the transaction, and is refused then. Returns whether it is. */
export function cutByCommit (context: ContextState, { faults }: Laws): boolean {
  if (context.rows !== 'in transaction') return false
  context.rows = 'none'
  context.hasLost = faults.has('a commit cuts rows, and nobody is told')
  return !context.hasLost
}

/** Before a commit that has something to do, until the stream has something to send. It does not wait for rows: those are read after it. */
export function waitsForFirstChunk ({ body, transaction, isByHand }: ContextState, { faults }: Laws): boolean {
  if (isByHand || transaction === 'none') return false
  return body === 'waits' || (body === 'asks' && faults.has('a commit waits for the first chunk of a stream that waits for rows'))
}

/** What becomes of a reply that is a stream, before its first chunk and after it. */
export const streamFlows: Rule = (world, number, laws) => {
  const { body, told, commit, after, position, rows, isGone } = world.contexts[number]!
  if (body === 'none' || isGone) return []
  const steps = []
  if (body === 'waits') {
    steps.push(
      step(world, number, 'the first chunk is there, or is waited for no longer', {}, context => { context.body = 'ready' }),
      step(world, number, 'the stream asks for rows before its first chunk', {}, context => { context.body = 'asks' })
    )
  }
  const isReadAfterCommit = after === 'finished' || position.outcome === 'untouched'
  if (body !== 'waits' && isReadAfterCommit && rows === 'none' && world.free > 0) steps.push(step(world, number, 'rows of the reply are read', {}, openRows))
  if (body === 'flows') {
    steps.push(step(world, number, 'the stream ends', {}, (context, world) => {
      context.body = 'none'
      leaveRows(context, world)
    }))
  }
  if (mayGoWrong(world, laws) && (body === 'flows' || commit === 'preparing' || isReadAfterCommit)) {
    steps.push(step(world, number, 'the stream fails', { isMishap: true }, (context, world) => {
      context.body = 'none'
      leaveRows(context, world)
      if (told !== 'nothing') context.told = 'broken'
      else throwOf(context, laws, false)
    }))
  }
  return steps
}

/** Nobody reads on when the context is released. */
export const rowsAreCut: Rule = (world, number, { faults }) => {
  const { rows, position } = world.contexts[number]!
  if (rows !== 'outside' || position.state !== 'released' || faults.has('rows that nobody reads on keep their connection')) return []
  return [step(world, number, 'rows are cut', {}, (context, world) => {
    leaveRows(context, world)
    if (faults.has('the connection of rows that are cut is given back twice')) world.free++
  })]
}

function openRows (context: ContextState, world: World): void {
  use(context)
  context.rows = 'outside'
  world.free--
}

function leaveRows (context: ContextState, world: { free: number }): void {
  world.free += Number(context.rows === 'outside')
  context.rows = 'none'
}
