/** What mysql2 3 says of a connection that is no more. */
const LOST_MESSAGE = /\bConnection lost\b/

/** It may work the next time. */
export function isTransient (message: string): boolean {
  return LOST_MESSAGE.test(message)
}
