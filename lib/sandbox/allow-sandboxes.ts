import type { FastifyInstance, FastifyRequest } from 'fastify'
import { FST_ORM_BAD_OPTION, FST_ORM_SANDBOX_ENDED } from '../errors.ts'
import { show } from '../util/show.ts'
import { currentSandbox, Sandbox, SANDBOX_HEADER } from './sandbox.ts'
import { startSandboxing } from '../context/sandboxes.ts'

/** Encapsulated instances inherit it from the one that was passed. */
const ALLOWED = Symbol('fastify-context-orm.allow-sandboxes')

/**
 * Lets requests over sockets join a sandbox of this process by `sandbox.headers`. Use it in tests only. An app that was not passed
 * to it ignores the header. Throws `FST_ORM_BAD_OPTION`.
 */
export function allowSandboxes (app: FastifyInstance<any, any, any, any, any>): void {
  if (typeof app?.addHook !== 'function') throw new FST_ORM_BAD_OPTION('allowSandboxes()', 'app', 'a Fastify instance', show(app))
  Object.defineProperty(app, ALLOWED, { value: true, configurable: true })
}

startSandboxing({
  current: currentSandbox,
  join (request, reply, done, open) {
    const id = request.headers[SANDBOX_HEADER]
    if (id === undefined || !(ALLOWED in request.server)) return open(request, reply, done)
    const sandbox = Sandbox.of(String(id))
    if (sandbox === undefined) return done(new FST_ORM_SANDBOX_ENDED(nameOf(request), "its sandbox has been rolled back, or is another process's"))
    sandbox.runInside(() => open(request, reply, done))
  }
})

function nameOf ({ method, routeOptions }: FastifyRequest): string {
  return `${method} ${routeOptions.url ?? '(no route found)'}`
}
