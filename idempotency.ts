/** @module fastify-context-orm/idempotency */
import './lib/util/node-version.ts'
export { default } from './lib/extensions/idempotency/plugin.ts'
export { IdempotencyKey } from './lib/extensions/idempotency/entity.ts'
export { deleteExpiredKeys } from './lib/extensions/idempotency/clean-up.ts'
export type { CleanUpOptions } from './lib/extensions/idempotency/clean-up.ts'
export type { IdempotencyKeyRow } from './lib/extensions/idempotency/entity.ts'
export type { CleanedEvent, IdempotencyEvent } from './lib/extensions/idempotency/events.ts'
export type { IdempotencyOptions, IdempotencyRouteOptions, Scope } from './lib/extensions/idempotency/options.ts'
