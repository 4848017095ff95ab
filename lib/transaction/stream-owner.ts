import { FST_ORM_STREAM_TIMEOUT } from '../errors.ts'
import type { StreamOwner } from './open-streams.ts'
import type { TransactionOwner } from './transaction-owner.ts'

/** What a stream of rows has from the context that reads it: how long its reader may take, and who is told. */
export function streamOwner (owner: TransactionOwner, database: string, cutError: () => Error): StreamOwner {
  return {
    warnMs: owner.warnHeldMs,
    timeoutMs: owner.streamTimeout,
    cutError,
    onSlow: waited => owner.log?.warn(`${owner.name} keeps a connection to "${database}" for a stream of rows whose reader has not read on for ${Math.round(waited)} ms. Read faster, load the rows with find(), or set streamTimeout`),
    onTimeout () {
      const error = new FST_ORM_STREAM_TIMEOUT(owner.name, database, String(owner.streamTimeout))
      owner.onStreamTimeout(error)
      return error
    }
  }
}
