import type { Dialect } from '../drivers/dialect.ts'

/**
 * Whether it is a `select` of nothing but names, values and such words as neither write nor call, as MikroORM sends most of
 * them. It says nothing that `isRead()` would not find out, but four times as fast.
 */
export function isSimpleSelect (sql: string, dialect: Dialect): boolean {
  return sql.length < MAX_LENGTH && SIMPLE[dialect].test(sql)
}

/** Beyond it, V8's regular expressions may run out of stack. */
const MAX_LENGTH = 10_000

/** No two of the alternatives begin alike, and none can be matched in two ways: nothing is ever tried twice. */
function simpleSelect (name: string): RegExp {
  const callsNothing = "(?![\\w$']|\\s*\\()"
  return new RegExp(`^select (?:${[
    '[ \\n,()=<>!\\d]',
    `${name}(?:\\.${name})*(?:\\.\\*)?(?![\\s.]*["'\`(c])`, // a string after a name would be of that type; nor does `count(*)` come after one
    "'[^'\\\\]*'(?!\\s*\\()", // in SQLite, it may be the name of a table that is called
    '(?:from|where|and|or|not|in|on|distinct|having|between|exists|select|all|case|when|then|else)(?![\\w$\'])',
    `(?:as|is|null|join|left|inner|order|group|by|asc|desc|limit|offset|like|ilike|true|false|end|nulls|last|first)${callsNothing}`,
    'count\\(\\*\\)',
    '[.-](?=\\d)',
    '\\$\\d'
  ].join('|')})*$`)
}

const DOUBLE_QUOTES = simpleSelect('"[^"\\\\]*"')
const BACKTICKS = simpleSelect('`[^`]*`')
const SIMPLE: Record<Dialect, RegExp> = { postgresql: DOUBLE_QUOTES, unknown: DOUBLE_QUOTES, sqlite: BACKTICKS, mysql: BACKTICKS }
