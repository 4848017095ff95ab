import { createHash } from 'node:crypto'
import { FST_ORM_IDEMPOTENCY_KEY } from './errors.ts'

export const MAX_KEY_LENGTH = 255

/** A string of RFC 8941, without parameters. */
const QUOTED = /^"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"$/
/** As Stripe's clients send it. Node joins several headers of one name with a comma and a blank. */
const BARE = /^[\x21\x23-\x7e][\x21-\x7e]*$/

/** The key in the value of its header: `"abc"`, as the IETF's draft has it, and `abc` are the same. Throws `FST_ORM_IDEMPOTENCY_KEY`. */
export function keyOf (header: string, value: string | string[]): string {
  const text = String(value)
  const key = QUOTED.exec(text)?.[1]?.replace(/\\(.)/g, '$1') ?? BARE.exec(text)?.[0] ?? ''
  if (key === '' || key.length > MAX_KEY_LENGTH) throw new FST_ORM_IDEMPOTENCY_KEY(header, String(MAX_KEY_LENGTH), `${text.length} characters that are none`)
  return key
}

/** What it is stored under. */
export function idOf (scope: string, key: string): string {
  return createHash('sha256').update(JSON.stringify([scope, key])).digest('hex')
}
