import { commandOf, implicitCommitOf } from './command.ts'
import type { Dialect } from '../drivers/dialect.ts'

export { commandOf, implicitCommitOf }
export { isRead } from './is-read.ts'

/**
 * Plainly a write, or what would allow writes again: what a context that is `readOnly` refuses by itself. Not the opposite of
 * `isRead()`: what is neither runs in a read-only transaction, and it is the database that refuses it.
 */
export function isModification (sql: string): boolean {
  return /^\s*(?:insert|update|delete|merge|replace|truncate|create|alter|drop)\b/i.test(sql) || ALLOWS_WRITES.test(sql)
}

const ALLOWS_WRITES = /^\s*(?:set|reset|pragma)\b.*(?:read\s+write|transaction_read_only|query_only)\b/is

/** Ends or begins a transaction, alone or among other statements. */
export function endsATransaction (sql: string, dialect: Dialect = 'unknown'): boolean {
  return commandOf(sql, dialect) !== undefined
}

/** Enough of a statement for an error message: to find it in the code by, and without its values. */
export function shorten (sql: string): string {
  const line = sql.trim().replace(/\s+/g, ' ').replace(/ (?:values|set|where)\b.*/i, ' …').replaceAll(/'[^']*'?/g, "'…'")
  return line.length > SHOWN_CHARACTERS ? `${line.slice(0, SHOWN_CHARACTERS)}…` : line
}

const SHOWN_CHARACTERS = 60
