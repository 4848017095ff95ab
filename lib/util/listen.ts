import { subscribe, unsubscribe } from 'node:diagnostics_channel'

/** For channels, by their names, what their messages are given to. */
export type Listeners<Channels> = { [Name in keyof Channels]?: (message: Channels[Name]) => void }

/** Listens to channels of `node:diagnostics_channel`: whatever the process publishes there. Returns what ends that. */
export function listen<Channels> (listeners: Listeners<Channels>): () => void {
  const all = Object.entries(listeners) as Array<[string, (message: unknown) => void]>
  for (const [channel, onMessage] of all) subscribe(channel, onMessage)
  return () => { for (const [channel, onMessage] of all) unsubscribe(channel, onMessage) }
}
