import type { EntityManager, InflightQueryAbortStrategy } from '@mikro-orm/core'

interface AbortSettings {
  signal: AbortSignal | undefined
  inflightQueryAbortStrategy: InflightQueryAbortStrategy | undefined
}

/** MikroORM 7.2.1 takes them as options of a fork, which costs another one. */
function abortSettingsOf (em: EntityManager): AbortSettings {
  return em as unknown as AbortSettings
}

/** The abort of the parent context is none of a fork's business. */
export function ignoreAborts (em: EntityManager): void {
  abortSettingsOf(em).signal = undefined
}

/**
 * Has MikroORM itself cancel the statements of the EntityManager, where it runs them by itself: with `transaction: false`.
 * What it is asked after that is not cancelled. What waits for a connection is not sent any more; what runs goes on with 'ignore query'.
 */
export function makeCancellable (em: EntityManager, strategy: 'cancel query' | 'ignore query'): () => void {
  const cancelling = new AbortController()
  const settings = abortSettingsOf(em)
  settings.signal = cancelling.signal
  settings.inflightQueryAbortStrategy = strategy
  return () => {
    settings.signal = undefined
    cancelling.abort()
  }
}
