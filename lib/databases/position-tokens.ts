import { createHmac, timingSafeEqual } from 'node:crypto'
import type { ReplicaSettings } from '../options/options.ts'
import type { Positions } from '../transaction/freshness.ts'

/** 132 bits. */
const SIGNATURE_LENGTH = 22
const MAX_LENGTH = 2000
const DEFAULT_WAIT = 50

/**
 * Positions of commits as a token: when it was made, the name and the position of each database, and a signature. It has only letters,
 * digits and what needs no quotes in a cookie or header.
 */
export class PositionTokens {
  readonly #settings: ReplicaSettings | undefined

  /** Without settings, nothing is signed, and what is read comes from the app itself, such as from a queue. */
  constructor (settings?: ReplicaSettings) {
    this.#settings = settings
  }

  get areMade (): boolean {
    return this.#settings !== undefined
  }

  /** Milliseconds for which a read waits for a replica. */
  get wait (): number {
    return this.#settings?.wait ?? DEFAULT_WAIT
  }

  make (positions: Positions): string | undefined {
    if (this.#settings === undefined) return undefined
    const body = [Date.now().toString(36), ...[...positions].flatMap(([name, position]) => [encode(name), position])].join('~')
    return `${body}~${sign(this.#settings.secrets[0]!, body)}`
  }

  /** `undefined` if it is forged, or too old. */
  read (token: string): Positions | undefined {
    const end = token.lastIndexOf('~')
    if (end === -1 || token.length > MAX_LENGTH || !this.#isSigned(token.slice(0, end), token.slice(end + 1))) return undefined
    const [made, ...rest] = token.slice(0, end).split('~') as [string, ...string[]]
    if (Date.now() - Number.parseInt(made, 36) > (this.#settings?.maxAge ?? Infinity)) return undefined
    const positions = new Map<string, string>()
    for (let i = 1; i < rest.length; i += 2) {
      const name = decode(rest[i - 1]!)
      if (name === undefined) return undefined
      positions.set(name, rest[i]!)
    }
    return positions
  }

  #isSigned (body: string, signature: string): boolean {
    if (this.#settings === undefined) return true
    const given = Buffer.from(signature)
    return given.length === SIGNATURE_LENGTH && this.#settings.secrets.some(secret => timingSafeEqual(given, Buffer.from(sign(secret, body))))
  }
}

function sign (secret: string, body: string): string {
  return createHmac('sha256', secret).update(`fastify-context-orm~${body}`).digest('base64url').slice(0, SIGNATURE_LENGTH)
}

function encode (name: string): string {
  return encodeURIComponent(name).replaceAll('~', '%7E')
}

/** `undefined` if it is broken, as only a token can be that is not signed. */
function decode (name: string): string | undefined {
  try {
    return decodeURIComponent(name)
  } catch {
    return undefined
  }
}
