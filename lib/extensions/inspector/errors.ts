import createError, { type FastifyError } from '@fastify/error'

/** Every error of the extension; the docs' table is checked against this list. */

type ErrorConstructor<Args extends unknown[]> = new (...args: Args) => FastifyError

export const FST_ORM_INSPECTOR_PRODUCTION: ErrorConstructor<[]> = createError(
  'FST_ORM_INSPECTOR_PRODUCTION', 'fastify-context-orm/inspector is for development, and NODE_ENV is production. Register it where NODE_ENV is something else, or give it a guard: a hook that refuses all who may not see what the app does', 500)

/** the missing package */
export const FST_ORM_INSPECTOR_PACKAGE: ErrorConstructor<[string]> = createError(
  'FST_ORM_INSPECTOR_PACKAGE', 'fastify-context-orm/inspector needs the packages preact and htm, and found no %s. Add them: npm install --save-dev preact htm', 500)

export const FST_ORM_INSPECTOR_REMOTE: ErrorConstructor<[]> = createError(
  'FST_ORM_INSPECTOR_REMOTE', 'The inspector answers on this machine only: to localhost, without a proxy in between. Give it a guard to let others see it', 403)

/** what was asked for */
export const FST_ORM_INSPECTOR_UNKNOWN: ErrorConstructor<[string]> = createError(
  'FST_ORM_INSPECTOR_UNKNOWN', 'The inspector knows nothing of the context %s: it has used no database, or has ended too long ago', 404)
