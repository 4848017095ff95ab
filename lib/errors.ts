import createFastifyError, { type FastifyError } from '@fastify/error'
import { DriverException } from '@mikro-orm/core'

/**
 * Every error of this package. Each message says what was expected, what came, and what to do. Each has a section in
 * docs/reference/errors.md, which the tests check.
 */

type ErrorConstructor<Args extends unknown[]> = new (...args: Args) => FastifyError & { help: string }

const REFERENCE = 'https://github.com/fastify-context-orm/fastify-context-orm/blob/HEAD/docs/reference/errors.md'

/** The log shows `help` beside the error. In the message, the address would be longer than what it says. */
function createError<Args extends unknown[]> (...args: Parameters<typeof createFastifyError>): ErrorConstructor<Args> {
  const Constructor = createFastifyError(...args)
  Object.assign(Constructor.prototype, { help: `${REFERENCE}#${args[0].toLowerCase()}` })
  return Constructor as unknown as ErrorConstructor<Args>
}

/** Passed as the last argument, it becomes the error's `cause`. */
interface Cause { cause: unknown }

/**
 * MikroORM 7.2.1 wraps whatever a statement throws in a `DriverException`, unless it is one already. They name SQL and tables,
 * and exception filters of Nest reply with the message of what has a `statusCode`.
 */
class StatementError extends DriverException {
  get statusCode (): undefined {
    return undefined
  }

  set statusCode (_statusCode: unknown) {}
}

const STATEMENT_ERROR = StatementError as unknown as Parameters<typeof createFastifyError>[3]

/** where, option, what it takes, what it got */
export const FST_ORM_BAD_OPTION: ErrorConstructor<[string, string, string, string]> = createError(
  'FST_ORM_BAD_OPTION', '%s: the option "%s" takes %s, got %s', 500)

/** what is missing, where. Of a Node that is too old, see `checkNode()`. */
export const FST_ORM_UNSUPPORTED: ErrorConstructor<[string, string]> = createError(
  'FST_ORM_UNSUPPORTED', 'fastify-context-orm needs %s, which %s does not have. It works with MikroORM 7.2, tested from 7.2.0 to 7.2.5: install one of these, or a newer fastify-context-orm', 500)

export const FST_ORM_ALREADY_REGISTERED: ErrorConstructor<[]> = createError(
  'FST_ORM_ALREADY_REGISTERED', 'fastify-context-orm is already registered here: register it once, for the app or for one scope. Several databases go into an array: { orm: [main, reporting] }', 500)

/** what was asked for, why there is no context, what to do */
export const FST_ORM_NO_CONTEXT: ErrorConstructor<[string, string, string]> = createError(
  'FST_ORM_NO_CONTEXT', '%s outside a context: %s. %s', 500)

/** name, known names */
export const FST_ORM_UNKNOWN_DATABASE: ErrorConstructor<[string, string]> = createError(
  'FST_ORM_UNKNOWN_DATABASE', 'There is no database "%s" here: the name of a database is the contextName of its MikroORM, and the known ones are %s', 500)

/** context, how it ended, statement */
export const FST_ORM_CONTEXT_ENDED: ErrorConstructor<[string, string, string]> = createError(
  'FST_ORM_CONTEXT_ENDED', '%s has ended (%s), which is too late for this: %s. Await all work before the end, or give later work a context of its own: runInContext()', 500, STATEMENT_ERROR)

/** context, statement */
export const FST_ORM_READ_ONLY: ErrorConstructor<[string, string]> = createError(
  'FST_ORM_READ_ONLY', '%s is readOnly and cannot write, got: %s. Remove readOnly from the route\'s config.orm or the options of runInContext(), or the change from the code', 500, STATEMENT_ERROR)

/** context, what failed; cause: its error */
export const FST_ORM_TRANSACTION_FAILED: ErrorConstructor<[string, string, Cause]> = createError(
  'FST_ORM_TRANSACTION_FAILED', '%s sends and commits nothing more, because this has failed in its transaction: %s (see the cause). Run what may fail in em.transactional(), which rolls back to a savepoint, or reply with an error', 500, STATEMENT_ERROR)

/** context, statement */
export const FST_ORM_TRANSACTION_COMMAND: ErrorConstructor<[string, string]> = createError(
  'FST_ORM_TRANSACTION_COMMAND', '%s begins and ends its transaction itself, and did not send this: %s. Use commit(), rollback() or em.transactional(), which keep the EntityManager and the hooks in step', 500, STATEMENT_ERROR)

/** context, statement */
export const FST_ORM_IMPLICIT_COMMIT: ErrorConstructor<[string, string]> = createError(
  'FST_ORM_IMPLICIT_COMMIT', '%s did not send this, because the database would commit before it by itself: %s. Run it before the first write, or outside of the context. What locks tables runs outside always, and so does everything of the kind in a sandbox', 500, STATEMENT_ERROR)

/** context, what cannot be done, what to do */
export const FST_ORM_TRANSACTION_OPEN: ErrorConstructor<[string, string, string]> = createError(
  'FST_ORM_TRANSACTION_OPEN', '%s has a transaction open: %s. %s', 500)

/** context, the one around it */
export const FST_ORM_SINGLE_CONNECTION: ErrorConstructor<[string, string]> = createError(
  'FST_ORM_SINGLE_CONNECTION', '%s needs a connection, and the only one of this database is held by the transaction of %s, around it: it would wait for ever. Commit the outer one before (commit()), do this work inside it, or open the inner one before the first write', 500, STATEMENT_ERROR)

/** context, the one around it, connections of the pool, seconds */
export const FST_ORM_POOL_STARVED: ErrorConstructor<[string, string, string, string]> = createError(
  'FST_ORM_POOL_STARVED', '%s needs a second connection while %s, around it, holds one, and none of the pool\'s %s has become free in %s s. Commit the outer one before (commit()), open the inner one before the first write, or make the pool larger', 500, STATEMENT_ERROR)

/** context, statement */
export const FST_ORM_STREAM_OPEN: ErrorConstructor<[string, string]> = createError(
  'FST_ORM_STREAM_OPEN', '%s is reading a stream on the connection that this needs: %s. It would wait for ever: read the stream to its end first, or load the rows with find()', 500, STATEMENT_ERROR)

/** context, database, milliseconds */
export const FST_ORM_STREAM_TIMEOUT: ErrorConstructor<[string, string, string]> = createError(
  'FST_ORM_STREAM_TIMEOUT', '%s has streamed rows of "%s" whose reader did not read on for %s ms: the stream was ended, and has given back its connection. Read faster, load the rows with find(), or raise streamTimeout', 500, STATEMENT_ERROR)

/** context, committed databases, databases that are not; cause: what failed */
export const FST_ORM_PARTIAL_COMMIT: ErrorConstructor<[string, string, string, Cause]> = createError(
  'FST_ORM_PARTIAL_COMMIT', '%s is committed in part: %s committed, %s did not (see the cause). Databases commit one after the other, and what has committed cannot be taken back', 500)

/** context, why; cause: what it failed with */
export const FST_ORM_NOT_RETRIABLE: ErrorConstructor<[string, string, Cause]> = createError(
  'FST_ORM_NOT_RETRIABLE', '%s has failed because of others (see the cause), and cannot be run again: %s', 503)

/** context, entity */
export const FST_ORM_FOREIGN_CHANGE: ErrorConstructor<[string, string]> = createError(
  'FST_ORM_FOREIGN_CHANGE', '%s has retry, and has changed %s, which was loaded outside of this attempt: the change would be lost, or made again by the next attempt. Load inside what is changed inside', 500)

/** cause: what failed. A host may be a URL with a password, and is not for everybody who sees the message. */
export const FST_ORM_SWITCH_FAILED: ErrorConstructor<[Cause]> = createError(
  'FST_ORM_SWITCH_FAILED', 'switchTo() cannot connect (see the cause), and the database stays where it is', 500)

/** what was to begin */
export const FST_ORM_CLOSING: ErrorConstructor<[string]> = createError(
  'FST_ORM_CLOSING', '%s cannot begin: the app that uses the database is closing, or has closed it. Stop what begins work in a preClose hook', 503)

/** context, milliseconds */
export const FST_ORM_CLOSE_TIMEOUT: ErrorConstructor<[string, string]> = createError(
  'FST_ORM_CLOSE_TIMEOUT', '%s was still running %s ms after app.close(), and was aborted and rolled back. Give it a signal that ends it, or raise closeTimeout', 503)

/** who, database, why there is none, what to do */
export const FST_ORM_SANDBOX_TAKEN: ErrorConstructor<[string, string, string, string]> = createError(
  'FST_ORM_SANDBOX_TAKEN', '%s needs a connection to "%s", and %s. %s', 500, STATEMENT_ERROR)

/** context, database, databases of the sandbox */
export const FST_ORM_SANDBOX_DATABASE: ErrorConstructor<[string, string, string]> = createError(
  'FST_ORM_SANDBOX_DATABASE', '%s uses the database "%s", which its sandbox does not have: it has %s. Pass all databases that the test uses: createSandbox([main, reporting])', 500, STATEMENT_ERROR)

/** who, who has the connection, why that leads nowhere */
export const FST_ORM_SANDBOX_WAIT: ErrorConstructor<[string, string, string]> = createError(
  'FST_ORM_SANDBOX_WAIT', '%s waits for the connection of its sandbox, where %s has a transaction open, and %s. A sandbox has one connection: end the one before the other begins, or open the other inside of it', 500, STATEMENT_ERROR)

/** contexts */
export const FST_ORM_SANDBOX_RUNNING: ErrorConstructor<[string]> = createError(
  'FST_ORM_SANDBOX_RUNNING', 'The sandbox was rolled back while this was still running in it: %s. Await it before, or abort it', 500)

/** who, why it is too late */
export const FST_ORM_SANDBOX_ENDED: ErrorConstructor<[string, string]> = createError(
  'FST_ORM_SANDBOX_ENDED', '%s comes too late: %s. Await all work before sandbox.rollback()', 500, STATEMENT_ERROR)

/** who, what */
export const FST_ORM_SANDBOX_REFUSED: ErrorConstructor<[string, string]> = createError(
  'FST_ORM_SANDBOX_REFUSED', '%s is in a sandbox, and this would reach beyond the transaction that is rolled back: %s. Begin and commit with MikroORM or this plugin, or do it outside of the sandbox', 500, STATEMENT_ERROR)

/** With the names as properties, for an error handler that repairs what it can. */
export function partialCommit (context: string, committed: string[], notCommitted: string[], cause: unknown): FastifyError {
  const quoted = (names: string[]): string => names.map(name => `"${name}"`).join(', ')
  const error = new FST_ORM_PARTIAL_COMMIT(context, quoted(committed), quoted(notCommitted), { cause })
  return Object.assign(error, { committed, notCommitted })
}

/** Enough for the frames of MikroORM 7.2 and Kysely 0.29 that lie between a statement and the line that it comes from. */
const FRAMES = 50

/** Makes an error whose stack leads to the caller's own line, which the usual ten frames do not reach. */
export function withCallersLine<T> (make: () => T): T {
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = FRAMES
  try {
    return make()
  } finally {
    Error.stackTraceLimit = stackTraceLimit
  }
}

/**
 * Adds the present stack to an error of ours that has come through a part of MikroORM 7.2.1 which awaits in a way that V8
 * cannot follow.
 */
export function addCallersLine (error: unknown): void {
  if (!(error instanceof Error) || !String((error as { code?: unknown }).code).startsWith('FST_ORM_')) return
  const { stack } = withCallersLine(() => new Error('here'))
  Reflect.set(error, 'stack', `${error.stack}${stack!.slice(stack!.indexOf('\n'))}`)
}
