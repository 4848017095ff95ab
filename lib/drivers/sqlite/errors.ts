/** What SQLite's drivers say of what may work the next time. */

/** Another connection holds the lock, or has changed what was read: `SQLITE_BUSY` and its extended codes. */
const BUSY = /^SQLITE_BUSY/

/** The whole transaction may work when it is run again. */
export function isRetriable (code: string): boolean {
  return BUSY.test(code)
}
