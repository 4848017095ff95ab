/** Runs the event loop until something has happened that sends no event, such as a wait inside the database. */
export async function until (condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!await condition()) await new Promise(resolve => setImmediate(resolve))
}
