import { checkOptions, REGISTER_OPTIONS, type Check } from '../../options/check-options.ts'
import { MAX_TIMER_MS } from '../../util/max-timer.ts'

/** What a guard does with what it finds: nothing, since it is not there; a warning in the log; or it makes it fail. */
export type GuardLevel = 'off' | 'warn' | 'error'

/** What `fastify-context-orm/guards` is registered with. Each guard is off by default. */
export interface GuardOptions {
  /** An outgoing HTTP call while the context that makes it has a transaction open. */
  outgoingCalls?: GuardLevel | undefined
  /** Hosts that may be called all the same, such as `'localhost'` or `'localhost:4318'`. Default: none. */
  allowedHosts?: readonly string[] | undefined
  /** Statements that differ in nothing but their values (N+1): more than `maxRepeats` of them in one context. */
  repeatedStatements?: GuardLevel | undefined
  /** How many of them are right. Default: 10. */
  maxRepeats?: number | undefined
  /** A transaction that is held for longer than `maxHeldMs`. It is told of while it is still held. */
  heldTransactions?: GuardLevel | undefined
  /** Milliseconds. Default: 1000. */
  maxHeldMs?: number | undefined
  /** An entity of one context that is used in another one. */
  foreignEntities?: GuardLevel | undefined
  /** An entity that is created, persisted or removed when its context has ended: nothing flushes it any more. */
  lostEntities?: GuardLevel | undefined
}

export type GuardName = 'outgoingCalls' | 'repeatedStatements' | 'heldTransactions' | 'foreignEntities' | 'lostEntities'

/** Those that are on. */
export interface Settings {
  readonly levels: Partial<Record<GuardName, 'warn' | 'error'>>
  readonly allowedHosts: ReadonlySet<string>
  readonly maxRepeats: number
  readonly maxHeldMs: number
}

/** Where an option is wrong, as errors say it. */
export const PLUGIN = 'fastify-context-orm/guards'

const LEVEL: Check = ["'off', 'warn' or 'error'", value => ['off', 'warn', 'error'].includes(value)]

const GUARDS: Record<GuardName, Check> = {
  outgoingCalls: LEVEL, repeatedStatements: LEVEL, heldTransactions: LEVEL, foreignEntities: LEVEL, lostEntities: LEVEL
}

const OPTIONS: Record<keyof GuardOptions, Check> = {
  ...GUARDS,
  allowedHosts: ['an array of hosts, with or without a port', value => Array.isArray(value) && value.every(isHost)],
  maxRepeats: ['a whole number, 1 or more', value => Number.isSafeInteger(value) && value >= 1],
  maxHeldMs: [`a number of milliseconds, from 1 to ${MAX_TIMER_MS}`, value => Number.isFinite(value) && value >= 1 && value <= MAX_TIMER_MS]
}

/** Throws `FST_ORM_BAD_OPTION`. */
export function checkGuardOptions (options: GuardOptions): Settings {
  checkOptions(PLUGIN, options, OPTIONS, REGISTER_OPTIONS)
  const { allowedHosts = [], maxRepeats = 10, maxHeldMs = 1000 } = options
  const levels: Settings['levels'] = {}
  for (const name of Object.keys(GUARDS) as GuardName[]) {
    const level = options[name]
    if (level !== undefined && level !== 'off') levels[name] = level
  }
  return { levels, allowedHosts: new Set(allowedHosts.map(host => host.toLowerCase())), maxRepeats, maxHeldMs }
}

function isHost (value: unknown): boolean {
  return typeof value === 'string' && /^[^\s/]+$/.test(value)
}
