import type { Platform } from '@mikro-orm/core'
import { dialectOf, type Dialect } from '../../drivers/dialect.ts'
import { withoutValues } from '../../sql/without-values.ts'

/** So many characters of a statement are kept. */
const MOST = 1000

/** What may be shown of what the app says, with values or without. */
export class Texts {
  readonly #platformOf: (database: string) => Platform | undefined
  readonly #values: boolean
  readonly #dialects = new Map<string, Dialect>()

  constructor (platformOf: (database: string) => Platform | undefined, values: boolean) {
    this.#platformOf = platformOf
    this.#values = values
  }

  /** The same for all statements that differ in their values only. */
  shape (sql: string, database: string): string {
    return cut(withoutValues(sql, this.#dialectOf(database)))
  }

  shown (sql: string, database: string, shape: string = this.shape(sql, database)): string {
    return this.#values ? cut(sql) : shape
  }

  /** Messages of databases have values in them, and those of an app may. */
  error (error: unknown): string | undefined {
    if (error === undefined) return undefined
    const { name, code, message } = (error ?? {}) as { name?: unknown, code?: unknown, message?: unknown }
    const what = typeof name === 'string' ? name : typeof error
    if (this.#values) return cut(message === undefined ? what : `${what}: ${message}`)
    return typeof code === 'string' && /^\w{1,40}$/.test(code) ? `${what} (${code})` : what
  }

  url (url: string): string {
    return cut(this.#values ? url : url.replace(/\?.*$/s, '?…'))
  }

  #dialectOf (database: string): Dialect {
    const known = this.#dialects.get(database)
    if (known !== undefined) return known
    const platform = this.#platformOf(database)
    const dialect = platform === undefined ? 'unknown' : dialectOf(platform)
    this.#dialects.set(database, dialect)
    return dialect
  }
}

function cut (text: string): string {
  return text.length > MOST ? `${text.slice(0, MOST)}…` : text
}
