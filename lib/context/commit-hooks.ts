import type { Savepoint } from '../transaction/savepoint.ts'

/** A function that a context calls when it commits or rolls back; it is awaited. */
export type CommitHook = () => unknown

export type HookKind = 'beforeCommit' | 'afterCommit' | 'afterRollback'

export interface RegisteredHook {
  kind: HookKind
  hook: CommitHook
  /** Where it was registered: the innermost savepoint of each database. */
  savepoints: Savepoint[]
}

/** The hooks that wait for a commit or a rollback, in the order in which they were registered. */
export class CommitHooks {
  #registered: RegisteredHook[] = []

  get isEmpty (): boolean {
    return this.#registered.length === 0
  }

  add (kind: HookKind, hook: CommitHook, savepoints: Savepoint[] = []): void {
    this.#registered.push({ kind, hook, savepoints })
  }

  /** Also those that are registered meanwhile. The first that throws is the last. Resolves with whether there were any. */
  async runBeforeCommit (): Promise<boolean> {
    let hasRun = false
    for (let next = this.#takeFirst('beforeCommit'); next !== undefined; next = this.#takeFirst('beforeCommit')) {
      hasRun = true
      await next.hook()
    }
    return hasRun
  }

  async runAfterCommit (onError: (error: unknown) => void): Promise<void> {
    await runHooks('afterCommit', this.takeAll(), onError)
  }

  async runAfterRollback (onError: (error: unknown) => void): Promise<void> {
    await runHooks('afterRollback', this.takeAll(), onError)
  }

  /** For whoever knows what has become of what they wait for; they wait no longer. */
  takeAll (): RegisteredHook[] {
    const all = this.#registered
    this.#registered = []
    return all
  }

  /** Drops what was registered inside the savepoint, and runs what waited for its rollback. */
  async rollbackTo (savepoint: Savepoint, onError: (error: unknown) => void): Promise<void> {
    const isGone = ({ savepoints }: RegisteredHook): boolean => savepoints.some(inner => inner.isWithin(savepoint))
    const gone = this.#registered.filter(isGone)
    this.#registered = this.#registered.filter(registered => !isGone(registered))
    await runHooks('afterRollback', gone, onError)
  }

  /** Takes over those of a transaction inside this one, which has not rolled back. */
  adopt (inner: CommitHooks): void {
    this.#registered.push(...inner.takeAll())
  }

  /** Drops all of them: it is not known, or not one thing, what has become of what they wait for. */
  clear (): void {
    this.#registered = []
  }

  #takeFirst (kind: HookKind): RegisteredHook | undefined {
    const index = this.#registered.findIndex(registered => registered.kind === kind)
    return index === -1 ? undefined : this.#registered.splice(index, 1)[0]
  }
}

/** Those of that kind. What is decided is decided: one that throws keeps none of the others from running. */
export async function runHooks (kind: HookKind, hooks: RegisteredHook[], onError: (error: unknown) => void): Promise<void> {
  for (const { kind: its, hook } of hooks) {
    if (its !== kind) continue
    try {
      await hook()
    } catch (error) {
      onError(error)
    }
  }
}
