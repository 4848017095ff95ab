import { setTimeout } from 'node:timers/promises'

/** Long enough to leave the processor to what is waited for. */
const EVERY_MS = 2

/** Waits until something has happened that sends no event, such as a wait inside the database. */
export async function until (condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!await condition()) await setTimeout(EVERY_MS)
}
