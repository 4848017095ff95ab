import type { IncomingHttpHeaders } from 'node:http'

/** Whether a request was sent with a body, by what its headers say. */
export function hasBody (headers: IncomingHttpHeaders): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0
}
