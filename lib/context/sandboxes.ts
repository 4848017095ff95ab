import type { EntityManager } from '@mikro-orm/core'
import type { FastifyReply, FastifyRequest, HookHandlerDoneFunction } from 'fastify'
import type { ContextDescription } from './context-description.ts'

/**
 * Where contexts ask whether they belong to a sandbox of `fastify-context-orm/testing`. As long as nobody has loaded
 * that, none does, and no context looks any further.
 */

/** A context, as a sandbox sees it. */
export interface UserOfSandbox {
  readonly name: string
  readonly description: ContextDescription
}

/** A sandbox, as contexts see it. */
export interface SandboxOfContexts {
  /** Forks an EntityManager so that all that it does is done in the sandbox. `user` is named where that cannot be. */
  fork (em: EntityManager, user: UserOfSandbox): EntityManager
}

type OpenContext = (request: FastifyRequest, reply: FastifyReply, done: HookHandlerDoneFunction) => void

interface Sandboxing {
  /** The sandbox that the caller runs in. */
  current (): SandboxOfContexts | undefined
  /** Opens the context of a request, in the sandbox that its headers name, if its app allows that. */
  join (request: FastifyRequest, reply: FastifyReply, done: HookHandlerDoneFunction, open: OpenContext): void
}

let sandboxing: Sandboxing | undefined

export function startSandboxing (implementation: Sandboxing): void {
  sandboxing = implementation
}

export function currentSandbox (): SandboxOfContexts | undefined {
  return sandboxing?.current()
}

export function joinSandbox (request: FastifyRequest, reply: FastifyReply, done: HookHandlerDoneFunction, open: OpenContext): void {
  if (sandboxing === undefined) return open(request, reply, done)
  sandboxing.join(request, reply, done, open)
}
