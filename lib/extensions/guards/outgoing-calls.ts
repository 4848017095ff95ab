import type { ClientRequest } from 'node:http'
import { listen } from '../../util/listen.ts'
import { Beginnings } from './beginnings.ts'
import { at, callersLine, currentView, nameOf, type Findings } from './findings.ts'

interface UndiciRequest {
  origin: string | URL
  method: string
  path: string
}

interface Channels {
  'undici:request:create': { request: UndiciRequest }
  'http.client.request.created': { request: ClientRequest }
  'http.client.request.start': { request: ClientRequest }
}

/**
 * Finds calls that leave over HTTP while their context holds a transaction. `fetch()` tells of its own where it is called. `node:http` does
 * so when a request is made, and when it is sent, which may be later, and is out of the caller's sight.
 */
export function guardOutgoingCalls (findings: Findings, allowedHosts: ReadonlySet<string>): () => void {
  const beginnings = new Beginnings()
  const stop = beginnings.start()
  const seen = new WeakSet<object>()
  const look = (request: object, method: string, urlOf: () => URL | null): void => {
    const view = currentView()
    if (view?.isHolding !== true || seen.has(request)) return
    seen.add(request)
    const url = urlOf()
    if (url !== null && (allowedHosts.has(url.host) || allowedHosts.has(url.hostname))) return
    const line = callersLine()
    const call = `${method} ${url === null ? '(an unknown address)' : url.origin + url.pathname}`
    const held = Math.round(view.heldMs)
    findings.tell('outgoingCalls', view, `${call} ${line}`, `${nameOf(view)} calls ${call} ${at(line)}, while its transaction holds a connection (for ${held} ms by now, ${beginnings.of(view)}). Call before the first write, or after commit()`)
  }
  const onUndici = ({ request }: Channels['undici:request:create']): void => {
    const { method, origin, path } = request
    look(request, method, () => URL.parse(path, String(origin)))
  }
  const onHttp = ({ request }: Channels['http.client.request.start']): void => {
    look(request, request.method, () => URL.parse(request.path, `${request.protocol}//${request.getHeader('host') ?? request.host}`))
  }
  const stopListening = listen<Channels>({ 'undici:request:create': onUndici, 'http.client.request.created': onHttp, 'http.client.request.start': onHttp })
  return () => {
    stop()
    stopListening()
  }
}
