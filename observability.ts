/** @module fastify-context-orm/observability */
import './lib/util/node-version.ts'
export { default } from './lib/extensions/observability/plugin.ts'
export type { ObservabilityOptions } from './lib/extensions/observability/options.ts'
