import { inspect } from 'node:util'

/** For error messages: what came, and its type. */
export function show (value: unknown): string {
  return `${inspect(value, { depth: 0, breakLength: Infinity, maxStringLength: 60 })} (${value === null ? 'null' : typeof value})`
}
