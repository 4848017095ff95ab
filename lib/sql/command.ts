import type { Dialect } from '../drivers/dialect.ts'
import { WORDS } from './dialect-words.ts'
import { Tokens } from './tokens.ts'
import { words } from '../util/words.ts'

/**
 * The command that begins or ends a transaction, such as `'commit'`, if there is one among the statements of `sql`. Quoted
 * text is none, nor is the body of a function or a trigger. (Savepoints are no matter: they lie inside of the transaction.)
 */
export function commandOf (sql: string, dialect: Dialect): string | undefined {
  if (!mayHoldACommand(sql, dialect)) return undefined
  for (const reading of readingsOf(sql, dialect)) {
    const command = new Statements(reading, dialect).command()
    if (command !== undefined) return command
  }
  return undefined
}

/**
 * Whether `sql` would commit the transaction by itself before it runs, as `create table` does in MySQL: `'alone'`, if it does nothing
 * else, and can run anywhere; `'with others'`, if it cannot.
 */
export function implicitCommitOf (sql: string, dialect: Dialect): 'alone' | 'with others' | undefined {
  const { commitsImplicitly, locksTables } = WORDS[dialect]
  if (commitsImplicitly === undefined || (IS_ORDINARY.test(sql) && !sql.includes(';'))) return undefined
  let commits = 0
  let others = 0
  for (const reading of readingsOf(sql, dialect)) {
    new Statements(reading, dialect, words => {
      if (words.length === 0) return
      if (commitsImplicitly(words)) commits++
      if (!commitsImplicitly(words) || locksTables!(words)) others++
    }).command()
  }
  if (commits === 0) return undefined
  return others === 0 ? 'alone' : 'with others'
}

const IS_ORDINARY = /^\s*(?:select|insert|update|delete|replace|with|savepoint|release|rollback|call)\b/i

/** Whether MySQL executes what is in `/*! … *\/` depends on its version: it has to be harmless as either. */
function readingsOf (sql: string, dialect: Dialect): string[] {
  return dialect === 'mysql' && sql.includes('!') ? [sql, withoutExecutedComments(sql)] : [sql]
}

function withoutExecutedComments (sql: string): string {
  const begin = /\/\*M?!/g
  let kept = ''
  let from = 0
  for (let found = begin.exec(sql); found !== null; found = begin.exec(sql)) {
    const end = sql.indexOf('*/', begin.lastIndex)
    kept += `${sql.slice(from, found.index)} `
    if (end === -1) return kept
    from = begin.lastIndex = end + 2
  }
  return kept + sql.slice(from)
}

/** For nearly all statements the answer, without a look at what they hold. */
function mayHoldACommand (sql: string, dialect: Dialect): boolean {
  return MAY_BEGIN_A_COMMAND.test(sql) || sql.includes(';') || (dialect === 'unknown' && /commit|rollback|begin/i.test(sql))
}

const MAY_BEGIN_A_COMMAND = /^\s*(?:begin|start|commit|rollback|abort|prepare|end|xa|set|if|case|loop|while|repeat|for|\w+\s*:|--|\/\*|#)/i

class Statements {
  readonly #tokens: Tokens
  readonly #dialect: Dialect
  /** The first words of the present statement. */
  #words: string[] = []
  #last = ''
  #parentheses = 0
  #isRoutine = false
  /** In a routine's body, a semicolon ends no statement of ours. */
  #blocks = 0

  /** Told of the first words of each statement. */
  readonly #onStatement: ((words: string[]) => void) | undefined

  constructor (sql: string, dialect: Dialect, onStatement?: (words: string[]) => void) {
    this.#tokens = new Tokens(sql, dialect)
    this.#dialect = dialect
    this.#onStatement = onStatement
  }

  command (): string | undefined {
    const tokens = this.#tokens
    while (tokens.next()) {
      const found = tokens.kind === 'word' ? this.#takeWord(tokens.text.toLowerCase()) : this.#takeOther(tokens.text)
      if (found !== undefined) return found
    }
    return this.#found()
  }

  #found (): string | undefined {
    if (this.#onStatement === undefined) return commandIn(this.#words, this.#dialect)
    this.#onStatement(this.#words)
    return undefined
  }

  #takeWord (word: string): string | undefined {
    const last = this.#last
    this.#last = word
    if (this.#words.length < 5) this.#words.push(word)
    if (word === 'for' && this.#words[1] === 'statement' && this.#words[0] === 'set') this.#words = [] // a statement with settings of its own
    const [first] = this.#words
    if (word === 'autocommit') return this.#setAutocommit()
    if (first === 'create' || first === 'alter') this.#noteBlock(word, last)
    else if (this.#dialect === 'unknown') return commandWithoutSemicolon(word, last)
    return undefined
  }

  #takeOther (text: string): string | undefined {
    this.#last = text
    if (text === '(') this.#parentheses++
    else if (text === ')') this.#parentheses--
    else if (text === ':' && this.#words.length === 1) this.#words = [] // a label
    else if (text === '`autocommit`') return this.#setAutocommit()
    else if (text === ';' && this.#blocks === 0) return this.#endStatement()
    return undefined
  }

  #endStatement (): string | undefined {
    const found = this.#found()
    this.#words = []
    this.#parentheses = 0
    this.#isRoutine = false
    return found
  }

  /** In MySQL, it ends the transaction, and the connection begins one by itself ever after, or commits every statement. */
  #setAutocommit (): string | undefined {
    return this.#words[0] === 'set' && this.#dialect === 'mysql' ? 'set autocommit' : undefined
  }

  #noteBlock (word: string, last: string): void {
    if (this.#parentheses > 0) return
    this.#isRoutine ||= ROUTINES.has(word)
    if (!this.#isRoutine) return
    // PostgreSQL has names that are `begin`
    const begins = this.#dialect === 'postgresql' ? word === 'atomic' && last === 'begin' : word === 'begin'
    if (begins) this.#blocks++
    else if (this.#blocks > 0 || last === 'end') this.#blocks += change(word, last)
  }
}

function commandIn ([first, second, third]: string[], dialect: Dialect): string | undefined {
  if (first === undefined) return undefined
  if (COMMANDS[dialect].has(first)) return first
  if (first === 'rollback') return second === 'to' || third === 'to' ? undefined : first
  return second === 'transaction' && (first === 'start' || first === 'prepare') ? `${first} transaction` : undefined
}

/** What a word in a routine's body changes in the number of blocks that are open. */
function change (word: string, last: string): number {
  if (word === 'end') return -1
  return (word === 'case' ? last !== 'end' : last === 'end' && ENDED_BY_NAME.has(word)) ? 1 : 0
}

/** SQL Server takes a second statement without a semicolon. */
function commandWithoutSemicolon (word: string, last: string): string | undefined {
  if (word === 'commit' || word === 'rollback') return last === '.' || last === 'as' ? undefined : word
  return last === 'begin' && word.startsWith('tran') ? 'begin transaction' : undefined
}

const COMMANDS: Record<Dialect, Set<string>> = {
  postgresql: words('begin commit end abort'),
  mysql: words('begin commit xa if case loop while repeat for'), // MariaDB has compound statements, too, which may commit
  sqlite: words('begin commit end'),
  unknown: words('begin commit end abort')
}
const ROUTINES = words('function procedure trigger event package')
/** In MySQL, what ends with `end if` does not begin with a word of its own that could be told from a function's name. */
const ENDED_BY_NAME = words('if loop while repeat for')
