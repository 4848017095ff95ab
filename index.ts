export { default } from './lib/plugin.ts'
export { em, commit, rollback, beforeCommit, afterCommit, afterRollback } from './lib/current-context.ts'
export { runInContext } from './lib/run-in-context.ts'
export { atomic } from './lib/atomic.ts'
export { switchable } from './lib/switchable.ts'
export type {
  AtomicOptions, BeforeCommit, ContextOrmOptions, RouteOrmOptions, RunOptions, ShouldCommit, TransactionMode
} from './lib/options.ts'
export type { CommitHook } from './lib/commit-hooks.ts'
export type { SwitchableOptions, SwitchableOrm } from './lib/switchable.ts'
export type {
  ContextEntityManager, DatabaseName, NamedEntityManager, Register, RegisteredOrm, RegisteredOrms
} from './lib/types.ts'
