import './lib/util/node-version.ts'
export { default } from './lib/fastify/plugin.ts'
export { em, commit, rollback, beforeCommit, afterCommit, afterRollback } from './lib/api/current-context.ts'
export { runInContext } from './lib/api/run-in-context.ts'
export { atomic } from './lib/api/atomic.ts'
export { switchable } from './lib/databases/switchable.ts'
export type {
  AtomicOptions, BeforeCommit, ContextOrmOptions, OnAbort, RouteOrmOptions, RunOptions, ShouldCommit, TransactionMode
} from './lib/options/options.ts'
export type { CommitHook } from './lib/context/commit-hooks.ts'
export type { Ending, Outcome } from './lib/context/settlement.ts'
export type { BegunEvent, ContextDescription, FailedEvent, SettledEvent } from './lib/context/events.ts'
export type { SwitchableOptions } from './lib/databases/switchable.ts'
export type {
  ContextEntityManager, DatabaseName, NamedEntityManager, Register, RegisteredOrm, RegisteredOrms, SwitchableOrm
} from './lib/options/types.ts'
