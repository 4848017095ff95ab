/** How often a piece of work is run at most, or more about it. */
export type Retry = number | RetryOptions

export interface RetryOptions {
  /** How often it is run at most, the first time included. Default: 5. */
  attempts?: number | undefined
  /**
   * Milliseconds to wait after that attempt (1 is the first), in which nothing is held. Default: a random time of up to 20 ms after
   * the first, and up to twice as much after each further one, at most a second.
   */
  delay?: ((attempt: number) => number) | undefined
  /**
   * Whether an error is worth another attempt that the database does not call one, such as an `OptimisticLockError`. Default: none
   * is.
   */
  when?: ((error: unknown) => boolean) | undefined
}

export interface RetrySettings {
  readonly attempts: number
  readonly delay: (attempt: number) => number
  readonly when: (error: unknown) => boolean
}

const MAX_DELAY = 1000

/** With full jitter: those that have failed because of each other must not meet again. */
function randomDelay (attempt: number): number {
  return Math.random() * Math.min(MAX_DELAY, 20 * 2 ** (attempt - 1))
}

/** What a `retry` that was checked means; `undefined` if there is none. */
export function retrySettings (retry: Retry | undefined): RetrySettings | undefined {
  if (retry === undefined) return undefined
  const { attempts = 5, delay = randomDelay, when = () => false } = typeof retry === 'number' ? { attempts: retry } : retry
  return { attempts, delay, when }
}
