import type { Attributes } from '@opentelemetry/api'
import type { MikroORM } from '@mikro-orm/core'
import type { StatementEvent } from '../../../index.ts'

/** The MikroORM of that `contextName`, if the app has it. */
export type OrmOf = (database: string) => MikroORM | undefined

/** What a statement is called by OpenTelemetry's semantic conventions. None of it grows with the values that are sent. */
export function attributesOfStatement ({ database, kind, sql, error }: StatementEvent, ormOf: OrmOf): Attributes {
  const orm = ormOf(database)
  return {
    'db.system.name': systemOf(orm),
    'db.namespace': orm?.config.get('dbName'),
    'db.operation.name': kind === 'read' || kind === 'write' || kind === 'savepoint' ? commandOf(sql) : kind.toUpperCase(),
    ...(error === undefined ? {} : { 'error.type': typeOf(error) })
  }
}

/** And not its message: that of a database quotes values, which belong into the log at most. */
export function typeOf (error: unknown): string {
  return error instanceof Error ? error.name : '_OTHER'
}

function systemOf (orm: MikroORM | undefined): string {
  const name = orm?.driver.constructor.name ?? ''
  return SYSTEMS.find(([pattern]) => pattern.test(name))?.[1] ?? 'other_sql'
}

const SYSTEMS: ReadonlyArray<readonly [RegExp, string]> = [
  [/^(?:Postgre|Pglite)/, 'postgresql'], [/^MariaDb/, 'mariadb'], [/^MySql/, 'mysql'], [/^(?:Sqlite|LibSql)/, 'sqlite']
]

/** One of few: anything may be the first word of what a user sends. */
function commandOf (sql: string): string {
  const [, word = ''] = FIRST_WORD.exec(sql) ?? []
  const command = word.toUpperCase()
  return COMMANDS.has(command) ? command : '(other)'
}

/** Behind comments, such as those that tools for tracing put there. */
const FIRST_WORD = /^(?:\s|\/\*(?:[^*]|\*(?!\/))*\*\/)*(\w+)/
const COMMANDS: ReadonlySet<string> = new Set([
  'SELECT', 'INSERT', 'UPDATE', 'DELETE', 'MERGE', 'REPLACE', 'WITH', 'VALUES', 'CALL', 'TRUNCATE', 'CREATE', 'ALTER', 'DROP', 'SET', 'SAVEPOINT', 'RELEASE',
  'ROLLBACK', 'LOCK', 'COPY', 'EXPLAIN', 'PRAGMA'
])
