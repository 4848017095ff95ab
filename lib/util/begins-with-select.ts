/** Not a proof that it only reads: a `select` may lock, or call a function that writes. */
export function beginsWithSelect (sql: string): boolean {
  return sql.startsWith('select ') || BEGINS_WITH_SELECT.test(sql) // the first is all that it takes for MikroORM's own
}

const BEGINS_WITH_SELECT = /^\s*(?:\/\*(?![!M])[^*/]*\*\/\s*)*select\b/i
