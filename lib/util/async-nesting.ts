import { AsyncLocalStorage } from 'node:async_hooks'

interface Link<T> {
  what: T
  outer: Link<T> | undefined
}

/** What the caller runs inside of: several at once, since contexts lie within contexts. */
export class AsyncNesting<T> {
  readonly #storage = new AsyncLocalStorage<Link<T>>()

  run<R> (what: T, callback: () => R): R {
    return this.#storage.run({ what, outer: this.#storage.getStore() }, callback)
  }

  has (what: T): boolean {
    for (let link = this.#storage.getStore(); link !== undefined; link = link.outer) if (link.what === what) return true
    return false
  }
}
