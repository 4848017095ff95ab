import './lib/node-version.ts'
export { createSandbox } from './lib/create-sandbox.ts'
export { allowSandboxes } from './lib/allow-sandboxes.ts'
export type { TestSandbox } from './lib/create-sandbox.ts'
