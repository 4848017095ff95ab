/** How often each kind of statement was run, by its first word: `{ begin: 1, insert: 1, commit: 1 }`. */
export type Statements = Record<string, number>

export type EngineName = 'postgresql' | 'mariadb'

/** A server that counts statements. */
export interface Database {
  readonly engine: EngineName
  /** Such as `PostgreSQL 18.4`. */
  readonly description: string
  /** The URL of a new, empty database. */
  createDatabase (): Promise<string>
  /** What has been run on that database, as the server saw it, since it was last asked. */
  takeStatements (databaseUrl: string): Promise<Statements>
  stop (): Promise<void>
}
