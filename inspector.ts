/** @module fastify-context-orm/inspector */
import './lib/util/node-version.ts'
export { default } from './lib/extensions/inspector/plugin.ts'
export type { Guard, InspectorOptions } from './lib/extensions/inspector/options.ts'
export type {
  DescribedCall, DescribedContext, DescribedHolding, DescribedInFull, DescribedPool, DescribedStatement, DescribedTransaction, Problem
} from './lib/extensions/inspector/descriptions.ts'
