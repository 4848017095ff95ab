import type { FastifyRequest, onRequestHookHandler } from 'fastify'
import { FST_ORM_INSPECTOR_PRODUCTION, FST_ORM_INSPECTOR_REMOTE } from './errors.ts'

/** Throws `FST_ORM_INSPECTOR_PRODUCTION`. */
export function assertMayRun (guard: onRequestHookHandler | undefined): void {
  if (process.env.NODE_ENV === 'production' && guard === undefined) throw new FST_ORM_INSPECTOR_PRODUCTION()
}

/** For `onRequest`, where there is no guard. */
export const refuseRemote: onRequestHookHandler = (request, _reply, done) => {
  done(isLocal(request) ? undefined : new FST_ORM_INSPECTOR_REMOTE())
}

/**
 * By the socket, and not by what Fastify makes of a proxy's headers, which anybody can send. Who comes through a proxy on this machine comes
 * from somewhere else. A page of another site may reach localhost under a name of its own. Or it calls localhost by its name, and its browser
 * says in `Origin` where the page is from: if the app has CORS, it could read the answer.
 */
function isLocal ({ socket: { remoteAddress = '' }, headers, host }: FastifyRequest): boolean {
  const isProxied = PROXY_HEADERS.some(name => headers[name] !== undefined)
  const isForeign = headers.origin !== undefined && !LOCAL_NAME.test(URL.parse(headers.origin)?.host ?? '')
  return LOOPBACK.test(remoteAddress) && !isProxied && !isForeign && LOCAL_NAME.test(host)
}

const PROXY_HEADERS = ['forwarded', 'x-forwarded-for', 'x-forwarded-host', 'x-real-ip', 'via']
const LOOPBACK = /^(?:(?:::ffff:)?127(?:\.\d+){3}|::1)$/
const LOCAL_NAME = /^(?:(?:[\w-]+\.)*localhost|127(?:\.\d+){3}|\[::1\])(?::\d+)?$/i
