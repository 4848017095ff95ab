/** @module fastify-context-orm */
import './lib/util/node-version.ts'
export { default } from './lib/fastify/plugin.ts'
export { em, commit, rollback, beforeCommit, afterCommit, afterRollback, context, contexts } from './lib/api/current-context.ts'
export { runInContext } from './lib/api/run-in-context.ts'
export { atomic } from './lib/api/atomic.ts'
export { captureLines } from './lib/transaction/callers-line.ts'
export { switchable } from './lib/databases/switchable.ts'
export type {
  AtomicOptions, BeforeCommit, ContextOrmOptions, HookOptions, OnAbort, ReplicaOptions, RouteOrmOptions, RunOptions, ShouldCommit, TokenTransport, TransactionMode
} from './lib/options/options.ts'
export type { Retry, RetryOptions } from './lib/options/retry.ts'
export type { CommitHook } from './lib/context/commit-hooks.ts'
export type { Ending, Outcome } from './lib/context/settlement.ts'
export type { ContextState, ContextView } from './lib/context/context-view.ts'
export type { ContextDescription } from './lib/context/context-description.ts'
export type { BegunEvent, ContextOrmChannels, FailedEvent, HookEvent, SettledEvent, StatementEvent } from './lib/context/events.ts'
export type { StatementDescription, StatementKind } from './lib/transaction/statement-description.ts'
export type { SwitchableOptions } from './lib/databases/switchable.ts'
export type {
  ContextEntityManager, DatabaseName, NamedEntityManager, Register, RegisteredOrm, RegisteredOrms, SwitchableOrm
} from './lib/options/types.ts'
