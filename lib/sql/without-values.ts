import type { Dialect } from '../drivers/dialect.ts'
import { Tokens } from './tokens.ts'

/**
 * A statement as it can be shown to others: with `?` for each value, and one for a list of them, so that statements that differ in their
 * values only are the same. Comments are left out. What may be read in two ways is cut off.
 */
export function withoutValues (sql: string, dialect: Dialect): string {
  const tokens = new Tokens(sql, dialect)
  let shape = ''
  let end = 0
  let isInNumber = false
  while (tokens.next()) {
    const isValue = tokens.kind === 'string' || tokens.kind === 'number' || (dialect === 'mysql' && tokens.kind === 'name' && tokens.text.startsWith('"'))
    if (tokens.isDoubtful) return `${shape}${shape === '' ? '' : ' '}…`
    const isApart = tokens.start > end
    isInNumber = !isApart && isInNumber && tokens.kind === 'word' // `0xff`, `1e10`
    if (!isInNumber) shape += (isApart && shape !== '' ? ' ' : '') + (isValue ? '?' : tokens.text)
    if (tokens.kind === 'number') isInNumber = true
    end = tokens.end
  }
  return shape.replace(LISTS, '(?)').replace(ROWS, '(?)')
}

/** `(?, ?, NULL)`, whose length differs from one statement to the next. */
const LISTS = /\((?:(?:\?|null|default|true|false)(?:, ?|(?=\))))+\)/gi
const ROWS = /\(\?\)(?:, ?\(\?\))+/g
