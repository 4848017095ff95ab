import type { FastifyReply, FastifyRequest, HookHandlerDoneFunction } from 'fastify'
import { setStatus } from './error-replies.ts'
import type { Databases } from '../databases/databases.ts'
import { breakReply } from './broken-reply.ts'
import { FST_ORM_BAD_OPTION, FST_ORM_NO_CONTEXT } from '../errors.ts'
import { isSuccess } from '../options/checks.ts'
import { show } from '../util/show.ts'
import { letReplyGoOut, sendShownError } from './late-hooks.ts'
import { CONTEXT, ContextOfRequest } from './context-of-request.ts'
import { finishing } from './finished-handler.ts'
import { answerAfter, isAnotherReplyWaiting, letTheFirstReplyStand, never } from './first-reply.ts'
import { inErrorHook, untilCompleted, type OuterHooks } from './internals.ts'
import { RetriedRequest, retrying } from './retried-request.ts'
import type { Route, Routes } from './routes.ts'
import { joinSandbox } from '../context/sandboxes.ts'
import { assertHeaders, assertPayload, keepStatus } from './sendable.ts'
import { StreamedReply, streamOf } from './streamed-reply.ts'
import { dropPayloadHeaders } from './unsent-payload.ts'
import type { ContextEntityManager } from '../options/types.ts'

/**
 * One request, as named hooks in the order in which Fastify calls them.
 *
 * `flushBeforeSerialization` and `settleBeforeSend` have to run after every other hook of their kind: one that fails
 * later would turn a committed request into an error, and what one writes later would be lost. What has to be known of
 * a reply, and the ids that other hooks of `preSerialization` want to see, come before every other hook. So each route is
 * completed with its first request (`Routes`).
 *
 * A hook calls `done` when it has nothing to wait for, and otherwise returns a promise, whose rejections Fastify
 * 5.12 handles also when the reply turns out to have been sent meanwhile.
 */

type Done = HookHandlerDoneFunction

interface Lifecycle {
  openContext (request: FastifyRequest, reply: FastifyReply, done: Done): void
  rollbackOnError (request: FastifyRequest, reply: FastifyReply, error: unknown, done: Done): Promise<void> | void
}

/** What a route is completed with. Until then, and where that cannot be, the hooks that are `alone` stand for all. */
export const OUTER_HOOKS: OuterHooks = {
  preSerialization: { first: beginPreSerialization, last: flushBeforeSerialization, alone: untilCompleted(beginPreSerialization) },
  onSend: { first: beginOnSend, last: settleBeforeSend, alone: untilCompleted(beginOnSendAndSettle) },
  afterDefaultErrorHandler: sendShownError,
  retry: retrying,
  finish: finishing,
  wrap: letReplyGoOut
}

export function createLifecycle (databases: Databases, routes: Routes, statusCodes: boolean): Lifecycle {
  const open = (request: FastifyRequest, reply: FastifyReply, route: Route, done: Done): void => {
    const context = new ContextOfRequest(databases, route, request, reply)
    request[CONTEXT] = context
    context.run(done)
  }
  const openWhenReady = (request: FastifyRequest, reply: FastifyReply, done: Done): void => {
    const route = routes.of(request)
    const { beforeContext } = databases
    if (beforeContext === undefined || route.settings === false) return open(request, reply, route, done)
    beforeContext().then(() => open(request, reply, route, done), done)
  }
  return {
    openContext (request, reply, done) {
      joinSandbox(request, reply, done, openWhenReady)
    },

    rollbackOnError (request, reply, error, done) {
      const context = request[CONTEXT]
      if (context?.isAnsweringError === true) {
        inErrorHook(reply, false)
        return letTheFirstReplyStand(context, request, error)
      }
      if (statusCodes) setStatus(reply, error)
      if (context !== null) return rollbackOnError(context, request, reply, error, done)
      routes.complete(request) // the error of a hook before ours may be one of the database, too
      done()
    }
  }
}

/** The EntityManager of a request, for the getter `request.em`. */
export function entityManagerOf (this: FastifyRequest): ContextEntityManager {
  const context = this[CONTEXT]
  if (context === null) {
    throw new FST_ORM_NO_CONTEXT('request.em', 'the request has not reached the onRequest hook of fastify-context-orm',
      'Register fastify-context-orm before the plugin whose hook this is')
  }
  return context.entityManager() as ContextEntityManager
}

function beginPreSerialization (request: FastifyRequest, reply: FastifyReply, payload: unknown, done: Done): Promise<void> | void {
  markReplyAfterOvertaking(request[CONTEXT], done)
  return flushBeforeSerialization(request, reply, payload, done)
}

/** The payload is serialised before `onSend`, and shall have the ids and defaults that the database generates. */
function flushBeforeSerialization (request: FastifyRequest, reply: FastifyReply, _payload: unknown, done: Done): Promise<void> | void {
  const context = request[CONTEXT]
  if (context === null) return done()
  if (isAnotherReplyWaiting(context)) return letTheFirstReplyStand(context, request)
  if (isOutdated(context, done)) return never()
  if (!context.isInUse || reply.statusCode >= 400) return done()
  context.isReplying = true
  const flushing = context.flush()
  if (flushing !== undefined) return untilReplied(context, flushing)
  context.isReplying = false
  done()
}

function beginOnSend (request: FastifyRequest, _reply: FastifyReply, _payload: unknown, done: Done): Promise<void> | void {
  const context = request[CONTEXT]
  if (context?.isAnsweringError === true) return letTheFirstReplyStand(context, request)
  markReplyAfterOvertaking(context, done)
  if (context !== null) context.hasReachedOnSend = true
  done()
}

function beginOnSendAndSettle (request: FastifyRequest, reply: FastifyReply, payload: unknown, done: Done): Promise<unknown> | void {
  markReplyAfterOvertaking(request[CONTEXT], done)
  return settleBeforeSend(request, reply, payload, done)
}

/** Commits before the first byte leaves, or rolls back if the status says so. */
function settleBeforeSend (request: FastifyRequest, reply: FastifyReply, payload: unknown, done: Done): Promise<unknown> | void {
  const context = request[CONTEXT]
  if (context === null) return done()
  if (isAnotherReplyWaiting(context)) return letTheFirstReplyStand(context, request)
  if (isOutdated(context, done)) return dropReply(payload)
  if (!context.isInUse) {
    if (streamOf(payload) !== undefined) context.expectStream()
    context.endUntouched('reply')
    return done()
  }
  if (context.hasInnerRequestContext) warnOfRequestContext(context, request)
  context.isReplying = true
  return untilReplied(context, endReadOrSettle(context, request, reply, payload))
}

/** Rolls back before any error handler runs, and lets the error go on. */
function rollbackOnError (context: ContextOfRequest, request: FastifyRequest, reply: FastifyReply, error: unknown, done: Done): Promise<void> | void {
  // a commit that is under way may succeed, and then nobody must be told that the request has failed
  if (context.isReplying && context.ending !== undefined) return failedLater(context, error) ?? letTheFirstReplyStand(context, request, error)
  if (context.hasCommitted && !reply.raw.headersSent) return breakCommittedReply(context, reply, error)
  if (context.attempts !== undefined && RetriedRequest.of(request)?.takes(context, error) === true) return never()
  if (context.hasReachedOnSend) dropPayloadHeaders(reply)
  if (!context.isInUse) {
    context.endUntouched('error')
    return done()
  }
  const rolledBack = context.rollback('error', error)
  if (request.routeOptions.handlerTimeout > 0) return done() // its timer may be the next to answer
  return answerAfter(rolledBack, context, reply)
}

/** Most requests have only read: these end without what `commitOrRollback()` checks of streams and of a user's `shouldCommit`. */
function endReadOrSettle (context: ContextOfRequest, request: FastifyRequest, reply: FastifyReply, payload: unknown): Promise<unknown> {
  const commits = typeof payload === 'string' && context.attempts === undefined && context.shouldCommit === isSuccess && isSuccess(request, reply)
  const others = commits && !context.hasUncommitted ? context.untilOthersHaveRun() : undefined
  if (others === undefined) return commitOrRollback(context, request, reply, payload)
  return others.then(() => context.endIdle('reply') ? undefined : commitOrRollback(context, request, reply, payload))
}

/** Resolves with what is to be sent instead of the payload, if it must be something else. */
async function commitOrRollback (context: ContextOfRequest, request: FastifyRequest, reply: FastifyReply, payload: unknown): Promise<unknown> {
  const streamed = context.streamed = StreamedReply.of(payload)
  try {
    await settle(context, request, reply, payload, streamed)
    streamed?.assertWhole()
  } catch (error) {
    streamed?.discard()
    throw error
  }
  if (context.isOvertaken) streamed?.discard()
  return streamed?.takeOver(reply, payload)
}

async function settle (context: ContextOfRequest, request: FastifyRequest, reply: FastifyReply, payload: unknown, streamed: StreamedReply | undefined): Promise<void> {
  assertPayload(reply, payload)
  const restoreStatus = keepStatus(reply)
  const answer = context.shouldCommit(request, reply)
  const commits = typeof answer === 'boolean' ? answer : await answer
  if (typeof commits !== 'boolean') throw new FST_ORM_BAD_OPTION(context.name, 'shouldCommit', 'a function that returns true or false', `one that returned ${show(commits)}`)
  if (!commits) return await context.rollback('status')
  context.attempts?.assertOwnChanges()
  if (!context.hasUncommitted) {
    await context.untilOthersHaveRun()
    streamed?.assertWhole()
  }
  if (context.endIdle('reply')) return
  await context.flush()
  assertHeaders(reply)
  streamed?.assertWhole()
  if (streamed !== undefined && reply.statusCode !== 204 && context.hasSomethingToCommit) await streamed.untilFirstChunk(context.awaitFirstChunk())
  await context.commit('reply')
  restoreStatus()
}

/** A `handlerTimeout` comes once, and a stream may go on for ever: it fails when it has been settled. */
function failedLater (context: ContextOfRequest, error: unknown): Promise<never> | undefined {
  if (context.streamed === undefined || (error as { code?: unknown }).code !== 'FST_ERR_HANDLER_TIMEOUT') return undefined
  context.streamed.fail(error)
  return never()
}

/** The client must not be told of a failure, and only of that, when what it has asked for is done. */
function breakCommittedReply (context: ContextOfRequest, reply: FastifyReply, error: unknown): Promise<void> {
  context.report(error, `${context.name}: the reply has failed after the commit, and its connection was broken`)
  breakReply(reply)
  return never()
}

/** While a reply waits for the database, an error or an abort may end the context first: then this reply is not sent. */
function untilReplied<T> (context: ContextOfRequest, working: Promise<T>): Promise<T> {
  const stopWaiting = (): Promise<never> | undefined => {
    context.isReplying = false
    return context.isOvertaken ? never() : undefined
  }
  return working.then(result => stopWaiting() ?? result, error => stopWaiting() ?? Promise.reject(error))
}

function dropReply (payload: unknown): Promise<never> {
  StreamedReply.of(payload)?.discard()
  return never()
}

/**
 * Marks replies that set out after the context was overtaken, such as that to the error. Fastify 5.12 gives all hooks of
 * one reply the same `done`, which tells it from others that are on their way.
 */
function markReplyAfterOvertaking (context: ContextOfRequest | null, done: Done): void {
  if (context !== null && context.isOvertaken) repliesAfter.add(done)
}

const repliesAfter = new WeakSet<Done>()

/** What the reply speaks of has been taken back since it set out. */
function isOutdated (context: ContextOfRequest, done: Done): boolean {
  if (context.attempts !== undefined && RetriedRequest.isFromBefore(context)) return true
  return context.isOvertaken && context.outcome !== 'untouched' && !repliesAfter.has(done)
}

/** The recipe of MikroORM's documentation does the work of this plugin, and takes it away from it. */
function warnOfRequestContext (context: ContextOfRequest, request: FastifyRequest): void {
  request.log.warn(`${context.name}: a hook has put the request into a RequestContext of MikroORM, whose EntityManager nobody flushes or commits. Remove that hook (such as RequestContext.create() in onRequest)`)
}
