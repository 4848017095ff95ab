import { AsyncLocalStorage } from 'node:async_hooks'
import type { Variant } from './variant.ts'

/** The least that a plugin of this kind can do: an AsyncLocalStorage, and a hook before the reply. */
export const floor: Variant = async app => {
  const storage = new AsyncLocalStorage<object>()
  app.addHook('onRequest', (_request, _reply, done) => storage.run({}, done))
  app.addHook('onSend', (_request, _reply, _payload, done) => done())
  return undefined
}
