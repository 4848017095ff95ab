import type { FastifyReply, FastifyRequest, HookHandlerDoneFunction, onRequestHookHandler } from 'fastify'
import { checkOptions, REGISTER_OPTIONS, type Check } from '../../options/check-options.ts'

/** An `onRequest` hook, with a callback or with a promise. */
export type Guard = (request: FastifyRequest, reply: FastifyReply, done: HookHandlerDoneFunction) => unknown

/** What `fastify-context-orm/inspector` is registered with. */
export interface InspectorOptions {
  /** Where its page is. Default: `'/_orm'`. */
  path?: string | undefined
  /**
   * An `onRequest` hook of its routes that refuses all who may not see them. With it, the inspector also runs in production, and answers
   * everybody whom the guard lets pass. Default: it answers on this machine only.
   */
  guard?: Guard | undefined
  /** Whether the values in statements, the messages of errors and the queries of outgoing calls are shown. Default: `false`. */
  values?: boolean | undefined
}

export interface Settings {
  readonly path: string
  readonly guard: onRequestHookHandler | undefined
  readonly values: boolean
}

/** Where an option is wrong, as errors say it. */
export const PLUGIN = 'fastify-context-orm/inspector'

const OPTIONS: Record<keyof InspectorOptions, Check> = {
  path: ["a path such as '/_orm', without a slash at its end", value => typeof value === 'string' && /^(?:\/[\w.~-]+)+$/.test(value)],
  guard: ['a function', value => typeof value === 'function'],
  values: ['true or false', value => typeof value === 'boolean']
}

/** Throws `FST_ORM_BAD_OPTION`. */
export function checkInspectorOptions (options: InspectorOptions): Settings {
  checkOptions(PLUGIN, options, OPTIONS, REGISTER_OPTIONS)
  const { path = '/_orm', guard, values = false } = options
  return { path, guard: guard as onRequestHookHandler | undefined, values }
}
