import type { EntityManager } from '@mikro-orm/core'
import type { FastifyBaseLogger, FastifyReply, FastifyRequest } from 'fastify'
import { breakConnection, isGone, isHttp2 } from './broken-reply.ts'
import { Context } from '../context/context.ts'
import type { DatabaseSet } from '../context/database-set.ts'
import type { ContextDescription } from '../context/context-description.ts'
import { FirstChunk } from './first-chunk.ts'
import type { RouteSettings, TransactionOptions } from '../options/options.ts'
import type { Route } from './routes.ts'
import type { StreamedReply } from './streamed-reply.ts'
import type { ContextEntityManager } from '../options/types.ts'

export const CONTEXT: unique symbol = Symbol('fastify-context-orm.context')

declare module 'fastify' {
  interface FastifyRequest {
    [CONTEXT]: ContextOfRequest | null
  }
}

/** The context of one request. */
export class ContextOfRequest extends Context {
  readonly #route: Route
  readonly #method: string
  protected readonly waitsForStatements = false
  #reply: FastifyReply | undefined
  /** Until it has closed. */
  #raw: FastifyReply['raw'] | undefined
  #log: FastifyReply['log'] | undefined
  #requestId: string | undefined
  /** Has the reply, and so goes when the response has closed. */
  #onClose: (() => void) | undefined
  /** What tells the client where a commit is, until it has closed: hooks after the commit may commit more. */
  #unsent: FastifyReply | undefined
  /** What the commit waits for, until the context has ended. */
  #firstChunk: FirstChunk | undefined

  /** A reply is on its way through our hooks, and waits for the database. */
  isReplying = false

  /** An error waits for its rollback, and will be answered then. */
  isAnsweringError = false

  /** The reply that is being settled, if that is a stream. */
  streamed: StreamedReply | undefined

  /** A reply has come to the onSend hooks, which say in headers what its payload is. */
  hasReachedOnSend = false

  constructor (databases: DatabaseSet, route: Route, request: FastifyRequest, reply: FastifyReply) {
    super(databases)
    this.#route = route
    this.#method = request.method
    this.#reply = reply
  }

  get name (): string {
    return `${this.#method} ${this.#route.url ?? '(no route found)'}`
  }

  get options (): TransactionOptions | false {
    return this.#route.settings
  }

  get beforeCommit (): ((em: EntityManager) => unknown) | undefined {
    const { beforeCommit } = this.#route.settings as RouteSettings
    const request = this.#reply?.request
    return beforeCommit && request && (em => beforeCommit(em as ContextEntityManager, request))
  }

  /** As the route or the plugin says; for contexts that have used a database. */
  get shouldCommit (): RouteSettings['shouldCommit'] {
    return (this.#route.settings as RouteSettings).shouldCommit
  }

  get description (): ContextDescription {
    return { id: this.id, kind: 'request', method: this.#method, route: this.#route.url, requestId: this.#requestId ?? this.#reply?.request.id }
  }

  get warnHeldMs (): number {
    return (this.#route.settings as RouteSettings).warnHeldMs
  }

  get streamTimeout (): number {
    return (this.#route.settings as RouteSettings).streamTimeout
  }

  /** A part of the reply that is on its way would be missing: the client has to see that, even if it reads nothing any more. */
  override onStreamTimeout (error: Error): void {
    super.onStreamTimeout(error)
    if (this.outcome !== undefined && this.#raw?.headersSent === true) breakConnection(this.#raw)
  }

  /** The client has to go, or `app.close()` would wait for the handler. */
  abort (reason: Error): void {
    const raw = this.#reply?.raw
    this.run(() => this.rollback('abort', reason)) // never rejects
    raw?.destroy(reason)
  }

  protected override tokenToRead (): string | undefined {
    const request = (this.#unsent ?? this.#reply)?.request
    return request && this.#tokenTransport?.get(request)
  }

  override onPosition (): void {
    const reply = this.#unsent ?? this.#reply
    const { token } = this
    if (token === undefined || reply === undefined || reply.raw.headersSent) return
    const report = (error: unknown): void => this.report(error, `${this.name}: the token of what it has committed could not be set`)
    try {
      Promise.resolve(this.#tokenTransport!.set(reply, token)).catch(report)
    } catch (error) {
      report(error)
    }
  }

  get log (): FastifyBaseLogger | undefined {
    return this.#log ?? this.#reply?.log
  }

  /** A reply that is a stream may be the first to use the context, after its end: for its log, and until it closes. */
  expectStream (): void {
    if (this.ending === undefined) this.onFirstUse()
  }

  /** For a reply that is a stream, before its commit. */
  awaitFirstChunk (): FirstChunk {
    this.#firstChunk = new FirstChunk()
    return this.#firstChunk
  }

  override hastenCommit (): Promise<void> | undefined {
    return this.isSettledByCaller ? undefined : this.#firstChunk?.hasten()
  }

  /** The safety net: whatever has not ended the context before the response closes, this does. */
  protected onFirstUse (): void {
    const reply = this.#reply!
    const { raw, log } = reply
    this.#raw = raw
    this.#log = log
    this.#requestId = reply.request.id
    if (this.#tokenTransport !== undefined) this.#unsent = reply
    const onClose = this.#onClose = (): void => {
      this.#raw = this.#unsent = this.#onClose = undefined
      if (this.ending === undefined) this.#endUnanswered(isSent(raw) ? 'close' : 'abort', reply, log)
      this.close()
    }
    if (isGone(raw)) onClose()
    else raw.on('close', onClose)
  }

  /** Gives its place to the next attempt at the request; it has been rolled back. */
  leave (): void {
    this.#raw?.off('close', this.#onClose!)
    this.#raw = this.#unsent = this.#onClose = undefined
    this.close()
  }

  /** The context of the next attempt at the request. */
  async successor (request: FastifyRequest, reply: FastifyReply, parent: Context | undefined): Promise<ContextOfRequest> {
    await this.databases.beforeContext?.()
    const make = (): ContextOfRequest => new ContextOfRequest(this.databases, this.#route, request, reply)
    const next = parent === undefined ? make() : parent.run(make)
    next.takeFreshness(this)
    return next
  }

  #endUnanswered (ending: 'close' | 'abort', reply: FastifyReply, log: FastifyReply['log']): void {
    // nothing commits after reply.hijack(), and so it would never end
    if (ending === 'abort' && !reply.sent && this.#commitsAborted) return
    // that a websocket closes is how it ends, and nobody's abort
    if (this.hasUncommitted && (ending === 'close' || (reply.sent && reply.request.headers.upgrade !== undefined))) {
      log.warn(`${this.name}: the response has closed, and what was not committed is rolled back. After reply.hijack(), call commit()`)
    }
    this.run(() => this.rollback(ending)) // never rejects
  }

  /** A timer may keep the context alive for long, and must not keep the request as well. Branches that come later still tell its id, and log. */
  protected onEnd (): void {
    this.#log ??= this.#reply?.log
    this.#requestId ??= this.#reply?.request.id
    this.#reply = undefined
    this.#firstChunk?.end()
    this.#firstChunk = undefined
  }

  protected emOfParent (): undefined {}

  get #tokenTransport (): RouteSettings['tokenTransport'] {
    return (this.#route.settings as RouteSettings).tokenTransport
  }

  get #commitsAborted (): boolean {
    return (this.#route.settings as RouteSettings).onAbort === 'commit'
  }
}

/** Whether a response that has closed is complete. HTTP/2's has no `writableFinished` of that meaning (Node 24). */
function isSent (raw: FastifyReply['raw']): boolean {
  return isHttp2(raw) ? raw.writableEnded : raw.writableFinished
}
