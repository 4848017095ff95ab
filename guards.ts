/** @module fastify-context-orm/guards */
import './lib/util/node-version.ts'
export { default } from './lib/extensions/guards/plugin.ts'
export { startGuards } from './lib/extensions/guards/start-guards.ts'
export type { GuardLevel, GuardOptions } from './lib/extensions/guards/options.ts'
