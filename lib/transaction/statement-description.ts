/** What a statement does: `savepoint` stands for whatever is done with one, which `sql` tells. */
export type StatementKind = 'read' | 'write' | 'begin' | 'commit' | 'rollback' | 'savepoint'

/** What is said of a statement. Times are in milliseconds. */
export interface StatementDescription {
  /** The `contextName` of its MikroORM. */
  database: string
  /** A `read` is known to read only; anything else that is sent may write, and begins the transaction. */
  kind: StatementKind
  /** Its text. What MikroORM makes has its values in it; parameters of others are left out. */
  sql: string
  /** The number of the transaction that it ran in, which no other of the process has; `undefined` if it ran in autocommit. */
  transaction: number | undefined
  /** The server, as MikroORM's log calls it. */
  server: string
  /** Whether that is a replica. */
  replica: boolean
  /** It was sent to the database, and not refused or given up before. */
  sent: boolean
  /** When it was sent (or given up), by `performance.now()`. */
  started: number
  /** From then to the answer; of a stream, to its end. Next to nothing for a `begin` that travels with the first statement. */
  duration: number
  /** Before it was sent: for a connection or, in a transaction, for that to begin and for its turn. */
  waited: number
  /** How many rows it gave or changed, where that is known. */
  rows: number | undefined
  /** The line of the app that asked for it, as `file:line:column`, or `flush at the end`; only with `captureLines()`. */
  line: string | undefined
  /** What it has failed with. */
  error: unknown
}

/** What is said of a transaction that has begun. */
export interface Beginning {
  /** The `contextName` of its MikroORM. */
  database: string
  /** The number that the statements of the transaction have; no other of the process has it. */
  transaction: number
  /** The statement that it was begun for; `undefined` if it was asked for without one, such as by `em.begin()`. */
  sql: string | undefined
  /** The line of the app that asked for that, as `file:line:column`, or `flush at the end`; only with `captureLines()`. */
  line: string | undefined
}
