import type { Dialect } from '../drivers/dialect.ts'
import * as mysql from '../drivers/mysql/functions.ts'
import * as postgresql from '../drivers/postgresql/functions.ts'
import * as sqlite from '../drivers/sqlite/functions.ts'

export interface DialectWords {
  /** Pure ones, which are no function of a user's. */
  readonly functions: ReadonlySet<string>
  /** After which a parenthesis is no call. */
  readonly keywordsBeforeParenthesis: ReadonlySet<string>
  /** A name that writes when it is read, in quotes or without. */
  readonly hiddenWrite?: RegExp
  /** Whether a statement that begins with these words commits before it runs. */
  commitsImplicitly? (words: string[]): boolean
  /** Whether it leaves locks to the session. */
  locksTables? (words: string[]): boolean
}

export const WORDS: Record<Dialect, DialectWords> = {
  postgresql,
  mysql,
  sqlite,
  unknown: {
    hiddenWrite: new RegExp(`${sqlite.hiddenWrite.source}|${mysql.hiddenWrite.source}`, 'i'),
    functions: inEach(postgresql.functions, mysql.functions, sqlite.functions),
    keywordsBeforeParenthesis: inEach(postgresql.keywordsBeforeParenthesis, mysql.keywordsBeforeParenthesis, sqlite.keywordsBeforeParenthesis)
  }
}

function inEach (first: Set<string>, ...others: Array<Set<string>>): Set<string> {
  return new Set([...first].filter(word => others.every(other => other.has(word))))
}
