export interface Held<T> {
  resource: T
  /** Gives the resource back; resolves when it is back. Further calls change nothing. */
  release (): Promise<void>
}

/**
 * Turns a function that lends a resource to a callback inside out: resolves with the resource, which stays lent until
 * `release()`. What such a function does in its `finally` is thereby certain to happen.
 */
export async function hold<T> (lend: (use: (resource: T) => Promise<void>) => Promise<void>): Promise<Held<T>> {
  const lent = Promise.withResolvers<T>()
  const released = Promise.withResolvers<void>()
  const returned = lend(resource => {
    lent.resolve(resource)
    return released.promise
  })
  returned.catch(lent.reject)

  return {
    resource: await lent.promise,
    release () {
      released.resolve()
      return returned
    }
  }
}
