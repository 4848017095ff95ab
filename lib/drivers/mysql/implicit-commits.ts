import { words } from '../../util/words.ts'

/**
 * Whether a statement that begins with these words commits the transaction before it runs: what MariaDB's documentation lists
 * under "SQL Statements That Cause an Implicit Commit", and MySQL's under "Statements That Cause an Implicit Commit". (Those that
 * begin or end a transaction are commands of their own: see `sql/command.ts`.) Not seen is what a procedure does, or `execute`.
 */
export function commitsImplicitly ([first, second, third, fourth, fifth]: string[]): boolean {
  switch (first) {
    case 'create':
      return second === 'or' && third === 'replace' ? !isTemporaryTable(fourth, fifth) : !isTemporaryTable(second, third)
    case 'drop':
      return !isTemporaryTable(second, third)
    case 'analyze': // which also explains a statement, in MariaDB
      return AFTER_ANALYZE.has(second!)
    case 'set':
      return second === 'password' || (second === 'default' && third === 'role')
    case 'load':
      return second === 'index'
    case 'start':
    case 'stop':
      return SERVERS.has(second!)
    default:
      return COMMITTING.has(first!)
  }
}

/** Whether it locks tables for the session, beyond the statement: in a pool, that would be for whoever comes next. */
export function locksTables ([first, second, third]: string[]): boolean {
  return first === 'lock' || first === 'backup' || (first === 'flush' && (TABLES.has(second!) || TABLES.has(third!)))
}

/** MariaDB has temporary sequences, too, and they commit. */
function isTemporaryTable (first: string | undefined, second: string | undefined): boolean {
  return first === 'temporary' && TABLES.has(second!)
}

const COMMITTING = words(`
  alter backup rename truncate grant revoke lock flush reset optimize repair check cache change install uninstall import shutdown
`)
const TABLES = words('table tables')
const AFTER_ANALYZE = words('table tables local no_write_to_binlog')
const SERVERS = words('slave replica all group_replication')
