import type { DescribedCall, DescribedHolding, DescribedStatement, DescribedTransaction, Problem } from './descriptions.ts'

/** What is too much, in milliseconds and times. */
const HELD = 500
const WAITED = 100
const SLOW = 200
const REPEATED = 5

interface Known {
  statements: DescribedStatement[]
  calls: DescribedCall[]
  transactions: DescribedTransaction[]
  shapes: Map<string, { times: number, line: string | undefined }>
  failures: string[]
  heldMs: number
  /** It waits at the moment, so long by now. */
  waitingMs: number
  /** Who holds connections at the moment. */
  holders: DescribedHolding[]
}

/** What stands out in a context, and which line is to blame for it. */
export function problemsOf (known: Known): Problem[] {
  return [...failed(known), ...callsWhileHeld(known), ...held(known), ...waited(known), ...repeated(known), ...slow(known)]
}

function failed ({ statements, failures }: Known): Problem[] {
  const failing = statements.find(({ error }) => error !== undefined)
  return [
    ...failing === undefined ? [] : [{ kind: 'failed' as const, text: `${failing.error}: ${short(failing.sql)}`, line: failing.line }],
    ...failures.slice(0, 1).map(text => ({ kind: 'failed' as const, text }))
  ]
}

function callsWhileHeld ({ calls, transactions }: Known): Problem[] {
  return calls.filter(({ held }) => held).slice(0, 1).map(({ method, url, started, duration }) => {
    const around = transactions.find(({ began, ended = Infinity }) => began <= started && started <= ended)
    const took = duration === undefined ? 'which has no answer yet' : `which took ${ms(duration)}`
    return { kind: 'call-while-held', text: `A transaction held a connection during ${method} ${url}, ${took}`, line: around?.line }
  })
}

function held ({ heldMs, transactions }: Known): Problem[] {
  if (heldMs < HELD) return []
  const length = ({ began, ended = Infinity }: DescribedTransaction): number => ended - began
  const longest = transactions.toSorted((a, b) => length(b) - length(a))[0]
  return [{ kind: 'held', text: `A transaction held a connection for ${ms(heldMs)}`, line: longest?.line }]
}

function waited ({ statements, waitingMs, holders }: Known): Problem[] {
  if (waitingMs >= WAITED) return [{ kind: 'waited', text: `It waits for a connection, for ${ms(waitingMs)} by now${heldBy(holders[0])}`, line: holders[0]?.line }]
  const longest = statements.filter(({ waitedFor }) => waitedFor !== undefined).sort((a, b) => b.waited - a.waited)[0]
  if (longest === undefined) return []
  const holder = longest.waitedFor![0]
  return [{ kind: 'waited', text: `A statement waited ${ms(longest.waited)} for a connection${heldBy(holder)}`, line: holder?.line }]
}

function repeated ({ shapes }: Known): Problem[] {
  const most = [...shapes].filter(([, { times }]) => times >= REPEATED).sort(([, a], [, b]) => b.times - a.times)[0]
  return most === undefined ? [] : [{ kind: 'repeated', text: `${most[1].times} times: ${short(most[0])}`, line: most[1].line }]
}

function slow ({ statements }: Known): Problem[] {
  const slowest = statements.filter(({ duration }) => duration >= SLOW).sort((a, b) => b.duration - a.duration)[0]
  return slowest === undefined ? [] : [{ kind: 'slow', text: `${ms(slowest.duration)}: ${short(slowest.sql)}`, line: slowest.line }]
}

/** Whether a wait is worth saying who was waited for. */
export function isLongWait (waited: number): boolean {
  return waited >= WAITED
}

function heldBy (holder: DescribedHolding | undefined): string {
  return holder === undefined ? '' : `, while ${holder.label} held one for ${ms(holder.heldMs)}`
}

function ms (time: number): string {
  return `${Math.round(time)} ms`
}

function short (sql: string): string {
  return sql.length > 80 ? `${sql.slice(0, 80)}…` : sql
}
