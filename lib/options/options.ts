import type { IsolationLevel, MikroORM } from '@mikro-orm/core'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { ContextEntityManager, SwitchableOrm } from './types.ts'

/**
 * When a context begins its transaction: with the first statement that is not provably a read, with the first
 * statement, or never (each flush commits by itself then, as MikroORM does on its own).
 */
export type TransactionMode = 'on-write' | 'on-query' | false

export type OnAbort = 'rollback' | 'commit'

export type ShouldCommit = (request: FastifyRequest, reply: FastifyReply) => boolean | Promise<boolean>

/** Called before each commit of a request, for each database that has something to commit, in its transaction. */
export type BeforeCommit = (em: ContextEntityManager, request: FastifyRequest) => unknown

/** A database: a MikroORM, or one that moves. */
type Orm = MikroORM<any> | SwitchableOrm<any, any>
export type Orms = Orm | readonly Orm[]

export interface ContextOrmOptions {
  /**
   * The databases: a MikroORM (or what `switchable()` has made), several of them (each known by its `contextName`; the
   * first is `request.em`), or a function that makes either. What the function makes is closed with the app (if the function fails, it closes what
   * it has opened); what was passed in is not.
   */
  orm: Orms | Promise<Orms> | (() => Orms | Promise<Orms>)
  /** When a request begins its transaction. Default: `'on-write'`. */
  transaction?: TransactionMode | undefined
  /**
   * Whether a request that replies is committed (or else rolled back), asked in `onSend` of requests that used a
   * database. Default: `reply.statusCode < 400`.
   */
  shouldCommit?: ShouldCommit | undefined
  /**
   * Runs before each commit of a request, and of a `runInContext()` inside it: in the transaction, for each database that
   * has something to commit. What it changes is committed too; if it throws, everything is rolled back. Default: nothing.
   */
  beforeCommit?: BeforeCommit | undefined
  /**
   * What becomes of a request whose client goes away before the reply: `'rollback'` ends it at once, and cancels the
   * running query where the database can; `'commit'` lets the handler finish, and commits as usual. Default: `'rollback'`.
   */
  onAbort?: OnAbort | undefined
  /**
   * Whether the reply to an exception of the database gets the HTTP status that fits, such as 409 for a unique violation,
   * before error handlers run. Default: `true`.
   */
  statusCodes?: boolean | undefined
  /** Milliseconds for which `app.close()` waits for contexts that are running; then it aborts them. Default: 10,000. */
  closeTimeout?: number | undefined
  /**
   * Milliseconds after which a request is warned of that has held a connection by its transaction, or that keeps one for a
   * stream whose reader does not read on. Default: 1000.
   */
  warnHeldMs?: number | undefined
  /**
   * Milliseconds after which a stream of rows (`em().stream()`) is ended whose reader does not read on, such as the client of
   * a streamed reply. The reply breaks off. Default: none.
   */
  streamTimeout?: number | undefined
}

/** What `runInContext()` takes. */
export interface RunOptions {
  /** The databases. Default: those of the context around it; outside of one, `orm` is required. */
  orm?: Orms | undefined
  /** Default: `'on-write'`. */
  transaction?: TransactionMode | undefined
  /** As for a route. */
  isolationLevel?: RouteOrmOptions['isolationLevel']
  /** As for a route. */
  readOnly?: boolean | undefined
  /** For error messages and events. Default: the name of the function, or `'runInContext()'`. */
  name?: string | undefined
  /**
   * When it is aborted, the context is rolled back, running queries are cancelled where the database can, and
   * `runInContext()` rejects with the signal's reason. From when the commit is on its way, it changes nothing.
   */
  signal?: AbortSignal | undefined
}

/** What `atomic()` takes. */
export interface AtomicOptions {
  /**
   * What becomes of a transaction or of pending changes that the context already has: `'commit'` commits them before,
   * `'rollback'` rolls them back before, `'join'` makes them one with what follows, `'reject'` throws
   * `FST_ORM_TRANSACTION_OPEN`. Default: `'commit'`.
   */
  existing?: 'commit' | 'rollback' | 'join' | 'reject' | undefined
}

/** What a route says in `config: { orm: … }`. */
export interface RouteOrmOptions {
  /** Default: the plugin's. */
  transaction?: TransactionMode | undefined
  /**
   * Default: the database's. Of `'repeatable read'` and stricter, the transaction begins with the first statement, as
   * with `transaction: 'on-query'`.
   */
  isolationLevel?: IsolationLevel | `${IsolationLevel}` | undefined
  /**
   * Refuses writes with `FST_ORM_READ_ONLY`, and begins a read-only transaction with the first statement: what passes as a read
   * and writes is refused by the database. Default: `false`.
   */
  readOnly?: boolean | undefined
  /** Default: the plugin's. */
  shouldCommit?: ShouldCommit | undefined
  /** Default: the plugin's. */
  onAbort?: OnAbort | undefined
  /** Default: the plugin's. */
  streamTimeout?: number | undefined
}

export interface TransactionOptions {
  readonly transaction: TransactionMode
  readonly isolationLevel?: RouteOrmOptions['isolationLevel']
  readonly readOnly?: boolean | undefined
}

export interface RunSettings extends TransactionOptions {
  readonly name: string
  readonly signal?: AbortSignal | undefined
}

export interface RouteSettings extends TransactionOptions {
  readonly shouldCommit: ShouldCommit
  readonly beforeCommit?: BeforeCommit | undefined
  readonly onAbort: OnAbort
  readonly warnHeldMs: number
  readonly streamTimeout: number
}

export interface PluginSettings {
  /** Of routes that say nothing. */
  readonly routes: RouteSettings
  readonly statusCodes: boolean
  readonly closeTimeout: number
}
