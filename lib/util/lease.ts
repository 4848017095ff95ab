export interface Lease<T> {
  resource: T
  /** Gives the resource back; resolves when it is back. Further calls change nothing. */
  release (): Promise<void>
}

/**
 * Turns a function that lends a resource to a callback inside out: resolves with the resource, which stays lent until
 * `release()`. What such a function does in its `finally` is thereby certain to happen.
 */
export function lease<T> (lend: (use: (resource: T) => Promise<void>) => Promise<void>): Promise<Lease<T>> {
  return new Promise((resolve, reject) => {
    const returned = lend(resource => {
      const released = Promise.withResolvers<void>()
      resolve({
        resource,
        release () {
          released.resolve()
          return returned
        }
      })
      return released.promise
    })
    returned.catch(reject)
  })
}
