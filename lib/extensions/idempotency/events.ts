import { channel, type Channel } from 'node:diagnostics_channel'

/** On `fastify-context-orm:idempotency`: what became of a request that has brought a key. */
export interface IdempotencyEvent {
  /** The first with its key, to be handled; answered with a reply that was stored; or refused. */
  result: 'claimed' | 'replayed' | 'refused'
  method: string
  /** With its parameters unfilled. */
  route: string | undefined
  requestId: string
  /** Why it is refused. */
  error?: unknown
}

/** On `fastify-context-orm:idempotency-cleaned`: keys that are too old have been deleted. */
export interface CleanedEvent {
  /** How many. */
  deleted: number
  /** In milliseconds. */
  duration: number
}

/** Nothing is made for them as long as nobody has subscribed. */
export const keyed: Channel = channel('fastify-context-orm:idempotency')
export const cleaned: Channel = channel('fastify-context-orm:idempotency-cleaned')
