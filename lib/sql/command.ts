import type { Dialect } from '../drivers/dialect.ts'
import { Tokens } from './tokens.ts'
import { words } from '../util/words.ts'

/**
 * The command that begins or ends a transaction, such as `'commit'`, if there is one among the statements of `sql`. Quoted
 * text is none, nor is the body of a function or a trigger. (Savepoints are no matter: they lie inside of the transaction.)
 */
export function commandOf (sql: string, dialect: Dialect): string | undefined {
  return mayHoldACommand(sql, dialect) ? new Statements(sql, dialect).command() : undefined
}

/** For nearly all statements the answer, without a look at what they hold. */
function mayHoldACommand (sql: string, dialect: Dialect): boolean {
  return MAY_BEGIN_A_COMMAND.test(sql) || sql.includes(';') || (dialect === 'unknown' && /commit|rollback|begin/i.test(sql))
}

const MAY_BEGIN_A_COMMAND = /^\s*(?:begin|start|commit|rollback|abort|prepare|end|xa|set|--|\/\*|#)/i

class Statements {
  readonly #tokens: Tokens
  readonly #dialect: Dialect
  /** Of the present statement, the first ones. */
  #words: string[] = []
  #last = ''
  #parentheses = 0
  #isRoutine = false
  /** In a routine's body, a semicolon ends no statement of ours. */
  #blocks = 0

  constructor (sql: string, dialect: Dialect) {
    this.#tokens = new Tokens(sql, dialect)
    this.#dialect = dialect
  }

  command (): string | undefined {
    const tokens = this.#tokens
    while (tokens.next()) {
      const found = tokens.kind === 'word' ? this.#takeWord(tokens.text.toLowerCase()) : this.#takeOther(tokens.text)
      if (found !== undefined) return found
    }
    return commandIn(this.#words, this.#dialect)
  }

  #takeWord (word: string): string | undefined {
    const last = this.#last
    this.#last = word
    if (this.#words.length < 3) this.#words.push(word)
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
    else if (text === '`autocommit`') return this.#setAutocommit()
    else if (text === ';' && this.#blocks === 0) return this.#endStatement()
    return undefined
  }

  #endStatement (): string | undefined {
    const found = commandIn(this.#words, this.#dialect)
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
  mysql: words('begin commit xa'),
  sqlite: words('begin commit end'),
  unknown: words('begin commit end abort')
}
const ROUTINES = words('function procedure trigger event package')
/** In MySQL, what ends with `end if` does not begin with a word of its own that could be told from a function's name. */
const ENDED_BY_NAME = words('if loop while repeat')
