import type { IsolationLevel, MikroORM } from '@mikro-orm/core'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Retry, RetrySettings } from './retry.ts'
import type { ContextEntityManager, SwitchableOrm } from './types.ts'

/**
 * When a context begins its transaction. `'on-write'`: with the first statement that is not provably a read. `'on-query'`: with the
 * first statement. `false`: never, and each flush commits by itself, as MikroORM does on its own.
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
   * The databases: a MikroORM (or what `switchable()` has made), an array of them (each known by its `contextName`; the first is
   * `request.em`), or a function that makes either. What the function makes is closed with the app; what was passed in is not. A
   * function that fails has to close what it has opened.
   */
  orm: Orms | Promise<Orms> | (() => Orms | Promise<Orms>)
  /** When a request begins its transaction. Default: `'on-write'`. */
  transaction?: TransactionMode | undefined
  /**
   * Whether the request of a reply is committed, or rolled back. It is called in `onSend`, for requests that have used a database.
   * Default: `reply.statusCode < 400`.
   */
  shouldCommit?: ShouldCommit | undefined
  /**
   * Runs before each commit of a request, and of a `runInContext()` inside it, for each database that has something to commit, in
   * its transaction. What it changes is committed too. If it throws, everything is rolled back. Default: nothing.
   */
  beforeCommit?: BeforeCommit | undefined
  /**
   * What happens to a request whose client leaves before the reply. `'rollback'` ends it at once, and cancels the running query
   * where the database can. `'commit'` lets the handler finish, and commits as usual. Default: `'rollback'`.
   */
  onAbort?: OnAbort | undefined
  /**
   * Whether the reply to an exception of the database gets the HTTP status that fits, such as 409 for a unique violation,
   * before error handlers run. Default: `true`.
   */
  statusCodes?: boolean | undefined
  /** Milliseconds for which `app.close()` waits for contexts that are running. Then it aborts them. Default: 10,000. */
  closeTimeout?: number | undefined
  /**
   * Milliseconds. A warning is logged if a transaction has held a connection for longer, or if the reader of a stream of rows has
   * not read on for so long. Default: 1000.
   */
  warnHeldMs?: number | undefined
  /**
   * Milliseconds after which a stream of rows (`em().stream()`) is ended if its reader, such as the client of a streamed reply, does
   * not read on. The reply breaks off. Default: none.
   */
  streamTimeout?: number | undefined
  /** How the reads of a client follow its writes over requests and processes, where MikroORM has replicas. Default: they do not. */
  replicas?: ReplicaOptions | undefined
}

/**
 * A reply to what has written says where the commit is, in a signed token. Reads of requests that bring it along go to a replica
 * that has reached it, or to the primary.
 */
export interface ReplicaOptions {
  /** How the token comes and goes: in a cookie, in a header, or as these functions do it. */
  readYourWrites: 'cookie' | 'header' | TokenTransport
  /** What tokens are signed with, the same in all processes. Of several, the first signs, and each of them is good. */
  secret: string | readonly string[]
  /** Milliseconds for which a read waits for a replica to get there before it goes to the primary. Default: 50. */
  wait?: number | undefined
  /** Milliseconds after which a token is ignored: replicas must not be further back than that. Default: 600,000, which is 10 minutes. */
  maxAge?: number | undefined
}

export interface TokenTransport {
  /** The token that a request has brought along. Asked when its first read could go to a replica. */
  get (request: FastifyRequest): string | undefined
  /** Called after each commit of a request, with a token that stands for those before as well. */
  set (reply: FastifyReply, token: string): unknown
}

/** What `runInContext()` takes. */
export interface RunOptions {
  /** The databases. Default: those of the context around it. Outside of any context, it is required. */
  orm?: Orms | undefined
  /** Default: `'on-write'`. */
  transaction?: TransactionMode | undefined
  /** As for a route. */
  isolationLevel?: RouteOrmOptions['isolationLevel']
  /** As for a route. */
  readOnly?: boolean | undefined
  /** As for a route. */
  replica?: boolean | undefined
  /** What `commit()` has given elsewhere, such as in the request that has sent a job: reads see all that it has committed. */
  after?: string | undefined
  /** For error messages and events. Default: the name of the function, or `'runInContext()'`. */
  name?: string | undefined
  /**
   * When it is aborted, the context is rolled back, running queries are cancelled where the database can, and `runInContext()`
   * rejects with the signal's reason. Once the commit is on its way, an abort changes nothing.
   */
  signal?: AbortSignal | undefined
  /**
   * How often `fn` is run at most, in a new context each time, while it or its commit fails because of others: by a serialization
   * failure, a deadlock, a lock timeout or a busy database. A number, the first time included, or `RetryOptions`. Inside other work
   * that has `retry`, only that is run again. Default: 1.
   */
  retry?: Retry | undefined
}

/** What `atomic()` takes. */
export interface AtomicOptions {
  /**
   * What happens to a transaction or to pending changes that the context already has. `'commit'` commits them first, `'rollback'`
   * rolls them back first, `'join'` commits or rolls them back together with what follows, and `'reject'` throws
   * `FST_ORM_TRANSACTION_OPEN`. Default: `'commit'`.
   */
  existing?: 'commit' | 'rollback' | 'join' | 'reject' | undefined
  /** As for `runInContext()`: each attempt is a context of its own then, with an EntityManager of its own. Not with `existing: 'join'`. */
  retry?: Retry | undefined
}

/** What `afterCommit()` takes besides its hook. */
export interface HookOptions {
  /**
   * `false`: nobody waits for the hook. The reply is sent, and `runInContext()` resolves, while it runs; `app.close()` waits for it, as
   * long as `closeTimeout` says. Default: `true`.
   */
  wait?: boolean | undefined
}

/** What a route says in `config: { orm: … }`. */
export interface RouteOrmOptions {
  /** Default: the plugin's. */
  transaction?: TransactionMode | undefined
  /**
   * The isolation level of the transaction. With `'repeatable read'` and stricter levels, the transaction begins with the first
   * statement, as with `transaction: 'on-query'`. Default: the database's.
   */
  isolationLevel?: IsolationLevel | `${IsolationLevel}` | undefined
  /**
   * Refuses writes with `FST_ORM_READ_ONLY`, and begins a read-only transaction with the first statement: the database itself
   * refuses what only looks like a read. Default: `false`.
   */
  readOnly?: boolean | undefined
  /** Whether reads may go to a replica, of a MikroORM that has any (`preferReadReplicas`). Default: `true`. */
  replica?: boolean | undefined
  /** Default: the plugin's. */
  shouldCommit?: ShouldCommit | undefined
  /** Default: the plugin's. */
  onAbort?: OnAbort | undefined
  /** Default: the plugin's. */
  streamTimeout?: number | undefined
  /**
   * How often the handler is run at most, as for `runInContext()`: with the request as it was parsed, and a reply without what the
   * failed attempt has set. Default: 1.
   */
  retry?: Retry | undefined
}

export interface TransactionOptions {
  readonly transaction: TransactionMode
  readonly isolationLevel?: RouteOrmOptions['isolationLevel']
  readonly readOnly?: boolean | undefined
  /** `false` if it reads from the primary only. */
  readonly replica?: boolean | undefined
}

export interface RunSettings extends TransactionOptions {
  readonly name: string
  readonly after?: string | undefined
  readonly signal?: AbortSignal | undefined
  readonly retry?: RetrySettings | undefined
}

export interface RouteSettings extends TransactionOptions {
  readonly shouldCommit: ShouldCommit
  readonly beforeCommit?: BeforeCommit | undefined
  readonly onAbort: OnAbort
  readonly warnHeldMs: number
  readonly streamTimeout: number
  readonly tokenTransport?: TokenTransport | undefined
  readonly retry?: RetrySettings | undefined
}

export interface ReplicaSettings {
  readonly readYourWrites: ReplicaOptions['readYourWrites']
  readonly secrets: readonly string[]
  readonly wait: number
  readonly maxAge: number
}

export interface PluginSettings {
  /** For routes that set nothing themselves. */
  readonly routes: RouteSettings
  readonly statusCodes: boolean
  readonly closeTimeout: number
  readonly replicas?: ReplicaSettings | undefined
}
