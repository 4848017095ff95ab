import { WORDS, type DialectWords } from './dialect-words.ts'
import type { Dialect } from '../drivers/dialect.ts'
import { keywords, types } from '../drivers/postgresql/functions.ts'
import { isSimpleSelect } from './simple-select.ts'
import { Tokens } from './tokens.ts'
import { beginsWithSelect } from '../util/begins-with-select.ts'
import { words } from '../util/words.ts'

/**
 * Is a statement provably a read?
 *
 * A deferred transaction sends reads to the pool in autocommit and begins with the first statement that is not one.
 * The two mistakes are not alike: a read taken for a write costs two round trips, a write taken for a read would be
 * committed behind the context's back. So everything that is not understood here is a write, and where a database may read
 * the same characters in two ways, so is whatever only one of them would call a read.
 *
 * PostgreSQL has functions where no parenthesis is: `b.touch` calls `touch(book)`, and `'x'::dom` what a domain checks. So a
 * column counts as one if its name is in quotes, as MikroORM and Kysely write it, or stands alone.
 *
 * What no reader of the text can see: what the definition of a view, a rule, an operator or a cast calls; a function that has
 * the name of a column, or of one of the database's own functions, and takes a row or a type of the user's.
 */
export function isRead (sql: string, dialect: Dialect = 'unknown'): boolean {
  return beginsWithSelect(sql) && WORDS[dialect].hiddenWrite?.test(sql) !== true && (isSimpleSelect(sql, dialect) || new Reader(sql, dialect).isRead())
}

type Parenthesis = 'group' | 'select' | 'cast' | 'call'

/** For what holds more than names, values and the words of a plain `select`. */
class Reader {
  readonly #tokens: Tokens
  readonly #dialect: Dialect
  readonly #words: DialectWords
  /** Where names without quotes may be calls. */
  readonly #isStrict: boolean
  readonly #open: Parenthesis[] = []
  #calls = 0
  /** A word in lower case, a sign, or what stands for anything else. */
  #last = ''
  #beforeLast = ''
  #lastKind: Tokens['kind'] = 'end'
  #lastEnd = 0
  #mustBeType = false
  #isType = false
  #mayBeRow = false
  #hasEnded = false

  constructor (sql: string, dialect: Dialect) {
    this.#tokens = new Tokens(sql, dialect)
    this.#dialect = dialect
    this.#words = WORDS[dialect]
    this.#isStrict = dialect === 'postgresql' || dialect === 'unknown'
  }

  isRead (): boolean {
    const tokens = this.#tokens
    while (tokens.next()) {
      const { kind, text } = tokens
      const token = kind === 'word' ? text.toLowerCase() : kind === 'sign' ? text : STANDS_FOR[kind]
      if (tokens.isDoubtful || this.#hasEnded || !this.#accepts(token, kind)) return false
      this.#beforeLast = this.#last
      this.#last = token
      this.#lastKind = kind
      this.#lastEnd = tokens.end
    }
    return !tokens.isDoubtful
  }

  #accepts (token: string, kind: Tokens['kind']): boolean {
    if (this.#mustBeType) return this.#acceptsType(token)
    if (this.#mayBeRow && !AFTER_A_WORD_THAT_IS_NO_ROW.has(token)) return false
    this.#mayBeRow = false
    if (this.#isStrict && this.#definesColumn(token, kind)) return false
    const wasType = this.#isType
    this.#isType = wasType && token === 'varying'
    switch (kind) {
      case 'word': return this.#acceptsWord(token)
      case 'string': return !this.#isStrict || (this.#lastKind === 'word' ? keywords.has(this.#last) || types.has(this.#last) : this.#lastKind !== 'name')
      case 'sign': return this.#acceptsSign(token, wasType)
      default: return true
    }
  }

  /** `lower("d" dom)` after a function that returns rows: `lower` is their name, and they have a column. */
  #definesColumn (token: string, kind: Tokens['kind']): boolean {
    const isIn = this.#open.length > 0 && this.#open.at(-1) !== 'select' && (this.#beforeLast === '(' || this.#beforeLast === ',')
    return isIn && isName(this.#last, this.#lastKind) && isName(token, kind)
  }

  #acceptsType (token: string): boolean {
    this.#mustBeType = false
    this.#isType = true
    return !this.#isStrict || types.has(token)
  }

  #acceptsWord (word: string): boolean {
    if (WRITING_WORDS.has(word)) return false
    if (word === 'select' && this.#last === '(') this.#open[this.#open.length - 1] = 'select'
    if (word === 'as' && this.#open.at(-1) === 'cast') this.#mustBeType = true
    if (!this.#isStrict || this.#tokens.isInBrackets) return true
    this.#mayBeRow = this.#calls > 0 && !keywords.has(word)
    return this.#last !== '.'
  }

  #acceptsSign (sign: string, wasType: boolean): boolean {
    switch (sign) {
      case '(':
        return this.#opens(wasType)
      case ')':
        if (this.#open.pop() === 'call') this.#calls--
        return true
      case '.':
        return !this.#isStrict || (this.#isName && !wasType)
      case '*':
        return !this.#isStrict || this.#last !== '.' || this.#calls === 0
      case ':':
        this.#mustBeType = this.#last === ':'
        return this.#isStrict || !this.#mustBeType
      case '@': // a variable of the session in MySQL: another connection has another
        return this.#dialect !== 'mysql'
      case '=':
        return this.#last !== ':' // assigns a variable of the session in MySQL
      case ';':
        this.#hasEnded = true
    }
    return true
  }

  #opens (isType: boolean): boolean {
    if (this.#isStrict && this.#last === 'as') return false // the columns of rows, which may be of a domain
    // with something between, MySQL calls a function of the user's that has the name of one of its own
    const isApart = this.#dialect === 'mysql' && this.#tokens.start !== this.#lastEnd
    if (isApart && (this.#last === 'cast' || this.#words.functions.has(this.#last))) return false
    // SQLite has tables that are called, and takes strings for their names
    const isCall = this.#isName || this.#lastKind === 'string'
    if (!isCall || isType || this.#isKeyword) {
      this.#open.push(this.#last === 'cast' ? 'cast' : 'group')
      return true
    }
    this.#open.push('call')
    this.#calls++
    // one that is named with its schema, or in quotes, is the user's own
    return this.#lastKind === 'word' && this.#beforeLast !== '.' && this.#words.functions.has(this.#last)
  }

  get #isKeyword (): boolean {
    return this.#words.keywordsBeforeParenthesis.has(this.#last) && FOLLOWS.get(this.#last)?.has(this.#beforeLast) !== false
  }

  get #isName (): boolean {
    return this.#lastKind === 'word' || this.#lastKind === 'name'
  }
}

function isName (token: string, kind: Tokens['kind']): boolean {
  return kind === 'name' || (kind === 'word' && !keywords.has(token))
}

/** No words, that is. */
const STANDS_FOR = { name: '"', string: "'", number: '0', end: '' }

/** Without what is here before them, they would be functions. */
const FOLLOWS = new Map([
  ['by', words('group order partition')],
  ['filter', words(')')],
  ['join', words('left right full inner outer cross natural')],
  ['over', words(')')]
])

/** A function, a type, a part of a date, or `time zone`. */
const AFTER_A_WORD_THAT_IS_NO_ROW = words('( \' from zone')

/**
 * `for` and `lock` begin a locking clause, `into` writes rows, and SQL Server takes a second statement without a
 * semicolon. Quoted, each of them is a name like any other. What is `returning` a type may be checked by a function. Of what
 * `sql_calc_found_rows` counts, only the same connection of MySQL's can be asked.
 */
const WRITING_WORDS = words(`
  for lock into with insert update delete merge upsert truncate create alter drop grant revoke deny exec execute
  call do set begin commit rollback save savepoint release declare use dbcc backup restore kill shutdown reconfigure
  waitfor print raiserror throw goto while procedure copy vacuum analyze attach detach pragma reindex returning
  sql_calc_found_rows
`)
