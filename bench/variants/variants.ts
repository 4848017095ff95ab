import { bare } from './bare.ts'
import { floor } from './floor.ts'
import { plugin } from './plugin.ts'
import { recipe } from './recipe.ts'
import { requestContext } from './request-context.ts'
import { transactionPerRequest } from './transaction-per-request.ts'
import type { Variant } from './variant.ts'

export const variants = {
  bare,
  floor,
  'request-context': requestContext,
  recipe,
  'transaction per request': transactionPerRequest,
  "'on-write'": plugin('on-write'),
  "'on-query'": plugin('on-query'),
  false: plugin(false)
} satisfies Record<string, Variant>

export type VariantName = keyof typeof variants

/** Those that have a database, in the order in which they take turns. */
export const WITH_DATABASE: VariantName[] = ['recipe', 'transaction per request', "'on-write'", "'on-query'", 'false']

export const ALL = Object.keys(variants) as VariantName[]
