import './lib/node-version.ts'
export { default } from './lib/plugin.ts'
export { em, commit, rollback, beforeCommit, afterCommit, afterRollback } from './lib/current-context.ts'
export { runInContext } from './lib/run-in-context.ts'
export { atomic } from './lib/atomic.ts'
export { switchable } from './lib/switchable.ts'
export type {
  AtomicOptions, BeforeCommit, ContextOrmOptions, OnAbort, RouteOrmOptions, RunOptions, ShouldCommit, TransactionMode
} from './lib/options.ts'
export type { CommitHook } from './lib/commit-hooks.ts'
export type { Ending, Outcome } from './lib/outcome.ts'
export type { BegunEvent, ContextDescription, FailedEvent, SettledEvent } from './lib/events.ts'
export type { SwitchableOptions, SwitchableOrm } from './lib/switchable.ts'
export type {
  ContextEntityManager, DatabaseName, NamedEntityManager, Register, RegisteredOrm, RegisteredOrms
} from './lib/types.ts'
