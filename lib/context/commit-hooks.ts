import type { Savepoint } from '../transaction/savepoint.ts'

/** A function that a context calls when it commits or rolls back; it is awaited. */
export type CommitHook = () => unknown

export type HookKind = 'beforeCommit' | 'afterCommit' | 'afterRollback'

export interface RegisteredHook {
  kind: HookKind
  hook: CommitHook
  /** Where it was registered: the innermost savepoint of each database. */
  savepoints: Savepoint[]
  /** By what is part of a commit, such as a subscriber of MikroORM's. */
  isOfCommit: boolean
}

/** The hooks that wait for a commit or a rollback, in the order in which they were registered. */
export class CommitHooks {
  #registered: RegisteredHook[] = []
  #unawaited: Set<Promise<void>> | undefined

  get count (): number {
    return this.#registered.length
  }

  get isEmpty (): boolean {
    return this.count === 0
  }

  add (kind: HookKind, hook: CommitHook, savepoints: Savepoint[] = [], isOfCommit = false): void {
    this.#registered.push({ kind, hook, savepoints, isOfCommit })
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

  /** Removes and returns all hooks, for a caller that knows how the transaction has ended. */
  takeAll (): RegisteredHook[] {
    const all = this.#registered
    this.#registered = []
    return all
  }

  /** The same for a commit that has begun when there were `count`: what others have registered since is about the next transaction. */
  takeThoseOfCommit (count: number): RegisteredHook[] {
    const all = this.takeAll()
    const isOfNext = ({ isOfCommit }: RegisteredHook, index: number): boolean => index >= count && !isOfCommit
    this.#registered = all.filter(isOfNext)
    return all.filter((hook, index) => !isOfNext(hook, index))
  }

  /** Drops what was registered inside the savepoint, and runs what waited for its rollback. */
  async rollbackTo (savepoint: Savepoint, onError: (error: unknown) => void): Promise<void> {
    const isGone = ({ savepoints }: RegisteredHook): boolean => savepoints.some(inner => inner.isWithin(savepoint))
    const gone = this.#registered.filter(isGone)
    this.#registered = this.#registered.filter(registered => !isGone(registered))
    if (gone.length > 0) await savepoint.runHooks(() => runHooks('afterRollback', gone, onError))
  }

  /** Takes over those of a transaction inside this one, which has not rolled back. */
  adopt (inner: CommitHooks): void {
    this.#registered.push(...inner.takeAll())
  }

  /** Runs one whose end nobody awaits. */
  runUnawaited (hook: CommitHook, onError: (error: unknown) => void): void {
    const running = (async () => await hook())().catch(onError).then(() => { this.#unawaited!.delete(running) })
    this.#unawaited ??= new Set()
    this.#unawaited.add(running)
  }

  /** Resolves when those are done; `undefined` if there are none. */
  get unawaited (): Promise<unknown> | undefined {
    return this.#unawaited === undefined || this.#unawaited.size === 0 ? undefined : Promise.all(this.#unawaited)
  }

  /** Drops all hooks: the commit is in doubt, or partial, and neither kind of them would be true. */
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
