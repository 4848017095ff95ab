export { default } from './lib/plugin.ts'
export { em } from './lib/context.ts'
export type { ContextOrmOptions, RouteOrmOptions, ShouldCommit, TransactionMode } from './lib/options.ts'
export type { ContextEntityManager, Register, RegisteredOrm } from './lib/types.ts'
