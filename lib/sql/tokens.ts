import {
  AMPERSAND, BACKTICK, CLOSING_BRACKET, DASH, DOLLAR, DOT, DOUBLE_QUOTE, HASH, OPENING_BRACKET, SEMICOLON, SINGLE_QUOTE, SLASH, SPACE, STAR,
  isDigit, isSpace, isWordPart, isWordStart
} from './characters.ts'
import type { Dialect } from '../drivers/dialect.ts'

/** `'name'` is a quoted one, and may also be a string in MySQL. */
type Kind = 'word' | 'name' | 'string' | 'number' | 'sign' | 'end'

/**
 * Reads a statement token by token, as its dialect does. It never goes back: its time grows with the length of the statement
 * and no faster, and what is in quotes is passed over at the speed of `indexOf()`.
 */
export class Tokens {
  readonly #sql: string
  readonly #dialect: Dialect
  #lastNewline: number | undefined

  kind: Kind = 'end'
  start = 0
  end = 0
  /** The database may read something in another way than it was read here. */
  isDoubtful = false
  /** SQL Server reads `[…]` as a name, PostgreSQL as an index: of an unknown database, it has to be harmless as either. */
  isInBrackets = false

  constructor (sql: string, dialect: Dialect) {
    this.#sql = sql
    this.#dialect = dialect
  }

  /** As it was written; of a sign, it is one character. */
  get text (): string {
    return this.#sql.slice(this.start, this.end)
  }

  /** Goes to the next token; `false` if there is none. */
  next (): boolean {
    const sql = this.#sql
    let at = this.end
    while (at < sql.length) {
      const code = sql.charCodeAt(at)
      if (isSpace(code)) at++
      else if (code === DASH && this.#isLineComment(at)) at = this.#endOfLine(at)
      else if (code === SLASH && sql.charCodeAt(at + 1) === STAR) at = this.#endOfComment(at)
      else if (code === HASH && this.#dialect === 'mysql') at = this.#endOfLine(at)
      else return this.#take(code, at)
    }
    this.#set('end', at, at)
    if (this.isInBrackets) this.isDoubtful = true
    return false
  }

  #take (code: number, at: number): true {
    if (isWordStart(code)) this.#set('word', at, this.#endOfWord(at))
    else if (isDigit(code) || (code === DOT && isDigit(this.#sql.charCodeAt(at + 1)))) this.#set('number', at, this.#endOfNumber(at))
    else if (code === SINGLE_QUOTE) this.#takeQuoted('string', "'", at, this.#hasEscapes(at))
    else if (code === DOUBLE_QUOTE) this.#takeQuoted('name', '"', at, this.#dialect === 'mysql')
    else if (code === BACKTICK && this.#dialect !== 'postgresql') this.#takeQuoted('name', '`', at, false)
    else if (code === OPENING_BRACKET && this.#dialect === 'sqlite') this.#set('name', at, this.#after(']', at + 1))
    else if (code === DOLLAR) this.#takeDollar(at)
    else this.#takeSign(code, at)
    return true
  }

  #set (kind: Kind, start: number, end: number): void {
    this.kind = kind
    this.start = start
    this.end = end
  }

  #takeSign (code: number, at: number): void {
    this.#set('sign', at, at + 1)
    if (code === BACKTICK) this.isDoubtful = true
    if (this.#dialect !== 'unknown') return
    if (code === OPENING_BRACKET) {
      this.isInBrackets = true
    } else if (code === CLOSING_BRACKET) {
      this.isInBrackets = false
      this.kind = 'name'
    } else if (code === HASH) {
      // begins a comment in MySQL, and is an operator in PostgreSQL: on the last line, both are harmless
      this.#lastNewline ??= this.#sql.lastIndexOf('\n')
      this.isDoubtful ||= this.isInBrackets || this.#lastNewline > at
    } else if (code === SEMICOLON) {
      this.isDoubtful ||= this.isInBrackets
    }
  }

  /** `$1`, or the beginning of PostgreSQL's `$tag$ … $tag$`. */
  #takeDollar (at: number): void {
    if (isDigit(this.#sql.charCodeAt(at + 1))) return this.#set('number', at, this.#endOfWord(at + 1))
    this.isDoubtful = true
    DOLLAR_QUOTE.lastIndex = at
    const quote = this.#dialect === 'postgresql' ? DOLLAR_QUOTE.exec(this.#sql)?.[0] : undefined
    if (quote === undefined) this.#set('sign', at, at + 1)
    else this.#set('string', at, this.#after(quote, at + quote.length))
  }

  #endOfWord (at: number): number {
    let end = at + 1
    while (isWordPart(this.#sql.charCodeAt(end))) end++
    return end
  }

  #endOfNumber (at: number): number {
    let end = at + 1
    for (let code = this.#sql.charCodeAt(end); isDigit(code) || code === DOT; code = this.#sql.charCodeAt(end)) end++
    return end
  }

  /** `e'…'`, `N'…'` and `U&'…'` have escapes of their own. */
  #hasEscapes (at: number): boolean {
    const isPrefixed = this.kind === 'word' && this.end === at
    if (isPrefixed || this.#sql.charCodeAt(at - 1) === AMPERSAND) this.isDoubtful = true
    return this.#dialect === 'mysql' || (this.#dialect === 'postgresql' && isPrefixed && /^e$/i.test(this.text))
  }

  #takeQuoted (kind: Kind, quote: string, start: number, hasEscapes: boolean): void {
    if (this.isInBrackets) this.isDoubtful = true
    let from = start + 1
    for (;;) {
      const end = this.#after(quote, from)
      const isEscape = quote !== '`' && endsWithEscape(this.#sql, from, end - 1)
      if (isEscape) this.isDoubtful = true
      if ((isEscape && hasEscapes) || this.#sql[end] === quote) from = isEscape && hasEscapes ? end : end + 1
      else return this.#set(kind, start, end)
    }
  }

  /** The place after the next `text`; if there is none, the end. */
  #after (text: string, from: number): number {
    const at = this.#sql.indexOf(text, from)
    if (at !== -1) return at + text.length
    this.isDoubtful = true
    return this.#sql.length
  }

  #isLineComment (at: number): boolean {
    if (this.#sql.charCodeAt(at + 1) !== DASH) return false
    const isOneInMySql = this.#sql.charCodeAt(at + 2) <= SPACE
    if (this.#dialect === 'unknown' && (!isOneInMySql || this.isInBrackets)) this.isDoubtful = true
    return isOneInMySql || this.#dialect !== 'mysql'
  }

  #endOfLine (at: number): number {
    const lineBreak = this.#dialect === 'postgresql' || this.#dialect === 'unknown' ? LINE_BREAK_OF_POSTGRES : LINE_BREAK
    lineBreak.lastIndex = at
    const end = lineBreak.test(this.#sql) ? lineBreak.lastIndex : this.#sql.length
    // elsewhere, the comment would go on after a carriage return
    if (this.#dialect === 'unknown' && this.#sql[end - 1] === '\r' && this.#sql[end] !== '\n') this.isDoubtful = true
    return end
  }

  #endOfComment (start: number): number {
    EXECUTED_COMMENT.lastIndex = start
    if (this.#dialect === 'mysql' && EXECUTED_COMMENT.test(this.#sql)) {
      this.isDoubtful = true // depends on the version
      return EXECUTED_COMMENT.lastIndex
    }
    if (this.#dialect === 'unknown' && this.isInBrackets) this.isDoubtful = true
    // on SQLite, it is how a lock says what it is: see `lock-clause.ts`
    if (this.#dialect !== 'postgresql' && EXECUTED_COMMENT.test(this.#sql)) this.isDoubtful = true
    COMMENT_DELIMITER.lastIndex = start + 2
    let depth = 1
    while (depth > 0) {
      const delimiter = COMMENT_DELIMITER.exec(this.#sql)?.[0]
      if (delimiter === '*/') {
        depth--
      } else if (delimiter === undefined) {
        this.isDoubtful = true
        return this.#sql.length
      } else if (this.#dialect === 'postgresql') {
        depth++
      } else {
        this.isDoubtful ||= this.#dialect === 'unknown'
      }
    }
    return COMMENT_DELIMITER.lastIndex
  }
}

/** Whether the quote at `end` comes after an odd number of backslashes. */
function endsWithEscape (sql: string, start: number, end: number): boolean {
  let at = end
  while (at > start && sql[at - 1] === '\\') at--
  return (end - at) % 2 === 1
}

const DOLLAR_QUOTE = /\$(?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$/y
const LINE_BREAK = /\n/g
const LINE_BREAK_OF_POSTGRES = /[\n\r]/g
const COMMENT_DELIMITER = /\/\*|\*\//g
/** MySQL and MariaDB execute what is in it. */
const EXECUTED_COMMENT = /\/\*M?!\d*/y
