/**
 * The flushes of one EntityManager, which MikroORM runs one after the other. Where one fails, MikroORM 7.2.1 forgets those
 * that wait for it: nobody would ever answer them.
 */
export class Flushes {
  /** Of the one that the others wait for. */
  #failure: PromiseWithResolvers<never> | undefined

  /** No flush is running or waiting. */
  get isIdle (): boolean {
    return this.#failure === undefined
  }

  /**
   * Those that wait fail with the one before: what they were to write was dropped with it.
   */
  async run (flush: () => Promise<void>): Promise<void> {
    if (this.#failure !== undefined) return await Promise.race([flush(), this.#failure.promise])
    const failure = this.#failure = Promise.withResolvers<never>()
    failure.promise.catch(() => {}) // nobody may be waiting
    try {
      await flush()
    } catch (error) {
      failure.reject(error)
      throw error
    } finally {
      this.#failure = undefined
    }
  }
}
