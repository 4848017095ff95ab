import { bare } from './bare.ts'
import { byHand } from './by-hand.ts'
import { floor } from './floor.ts'
import { plugin } from './plugin.ts'
import { recipe } from './recipe.ts'
import { requestContext } from './request-context.ts'
import { transactionPerRequest } from './transaction-per-request.ts'
import type { Variant } from './variant.ts'
import { withAndWithout } from './with-and-without.ts'
import { withGuards } from './with-guards.ts'
import { withInspector } from './with-inspector.ts'
import { withKeys } from './with-keys.ts'
import { withObservability } from './with-observability.ts'
import { withTokens } from './with-tokens.ts'

export const variants = {
  bare,
  floor,
  'request-context': requestContext,
  recipe,
  'transaction per request': transactionPerRequest,
  "'on-write'": plugin('on-write'),
  "'on-query'": plugin('on-query'),
  false: plugin(false),
  "'on-write', keys": withKeys,
  "'on-write', tokens": withTokens,
  "'on-write', guards": withGuards,
  "'on-write', observability": withObservability,
  "'on-write', inspector": withInspector,
  'by hand': byHand,
  'with and without': withAndWithout
} satisfies Record<string, Variant>

export type VariantName = keyof typeof variants

/** Those that have a database, in the order in which they take turns. */
export const WITH_DATABASE: VariantName[] = ['recipe', 'transaction per request', "'on-write'", "'on-query'", 'false']

/** What no ORM can beat, beside them. */
export const TO_THE_LIMIT: VariantName[] = [...WITH_DATABASE, 'by hand']

export const ALL: VariantName[] = ['bare', 'floor', 'request-context', ...WITH_DATABASE]
