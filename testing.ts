import './lib/util/node-version.ts'
export { createSandbox } from './lib/sandbox/create-sandbox.ts'
export { allowSandboxes } from './lib/sandbox/allow-sandboxes.ts'
export type { TestSandbox } from './lib/sandbox/create-sandbox.ts'
