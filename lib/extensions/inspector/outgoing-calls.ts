import type { ClientRequest, IncomingMessage } from 'node:http'
import { context } from '../../../index.ts'
import { listen } from '../../util/listen.ts'
import type { Records } from './records.ts'

type End = (status?: number) => void

/** What undici and `node:http` publish. */
interface UndiciMessage { request: { origin: string | URL, path: string, method: string }, response?: { statusCode: number } }
interface HttpMessage { request: ClientRequest, response?: IncomingMessage }

interface Channels {
  'undici:request:create': UndiciMessage
  'undici:request:headers': UndiciMessage
  'undici:request:trailers': UndiciMessage
  'undici:request:error': UndiciMessage
  'http.client.request.start': HttpMessage
  'http.client.response.finish': HttpMessage
  'http.client.request.error': HttpMessage
}

/** Notes which requests contexts send to others, until the function that it returns is called. */
export function watchCalls (records: Records): () => void {
  const ends = new WeakMap<object, End>()

  function begin (request: object, method: string, url: string): void {
    const record = records.find(currentId())
    const end = record?.addCall(method, url, performance.now())
    if (end === undefined) return
    records.change(record!)
    ends.set(request, status => {
      end(status)
      records.change(record!)
    })
  }

  function end (request: object, status?: number): void {
    ends.get(request)?.(status)
    ends.delete(request)
  }

  const statuses = new WeakMap<object, number>()
  return listen<Channels>({
    'undici:request:create': ({ request }) => begin(request, request.method, `${request.origin}${request.path}`),
    'undici:request:headers': ({ request, response }) => { statuses.set(request, response!.statusCode) },
    'undici:request:trailers': ({ request }) => end(request, statuses.get(request)),
    'undici:request:error': ({ request }) => end(request),
    'http.client.request.start': ({ request }) => begin(request, request.method, `${request.protocol}//${request.getHeader('host')}${request.path}`),
    'http.client.response.finish': ({ request, response }) => end(request, response?.statusCode),
    'http.client.request.error': ({ request }) => end(request)
  })
}

/** None has 0. */
function currentId (): number {
  try {
    return context().id
  } catch {
    return 0
  }
}
