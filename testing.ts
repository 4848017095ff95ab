/** @module fastify-context-orm/testing */
import './lib/util/node-version.ts'
export { createSandbox } from './lib/sandbox/create-sandbox.ts'
export { allowSandboxes } from './lib/sandbox/allow-sandboxes.ts'
export type { TestSandbox } from './lib/sandbox/create-sandbox.ts'
export type { SandboxContext } from './lib/sandbox/sandbox-record.ts'
