import { subscribe, unsubscribe } from 'node:diagnostics_channel'
// in a project of one's own: from 'fastify-context-orm'
import type { BegunEvent, FailedEvent, SettledEvent } from '../../index.ts'

/** What is to be told of contexts. It is called synchronously, from within them: it has to be quick, and not to throw. */
export interface ContextListener {
  begun? (event: BegunEvent): void
  settled? (event: SettledEvent): void
  failed? (event: FailedEvent): void
}

/** Listens to all contexts of the process, whichever app they are of. Returns what ends that. */
export function listenToContexts (listener: ContextListener): () => void {
  const subscriptions = Object.entries({
    'fastify-context-orm:begun': (event: unknown) => listener.begun?.(event as BegunEvent),
    'fastify-context-orm:settled': (event: unknown) => listener.settled?.(event as SettledEvent),
    'fastify-context-orm:failed': (event: unknown) => listener.failed?.(event as FailedEvent)
  })
  for (const [channel, onEvent] of subscriptions) subscribe(channel, onEvent)
  return () => {
    for (const [channel, onEvent] of subscriptions) unsubscribe(channel, onEvent)
  }
}
