import { CsvError, parse, type Info } from 'csv-parse'
import { createReadStream } from 'node:fs'
import { pipeline } from 'node:stream'
import { BadRow, badRow } from './errors.ts'

export interface NewBook {
  isbn: string
  title: string
  author: string
  stock: number
}

export interface Row {
  values: string[]
  /** In which it ends. */
  line: number
  /** How much of the file has been read with it. */
  bytes: number
}

const COLUMNS = ['isbn', 'title', 'author', 'stock']
const HEADER = `the columns ${COLUMNS.join(',')}`

/** The rows of the file, without its header. They are read as fast as they are used, however many there are. */
export async function * readRows (file: string): AsyncGenerator<Row> {
  // rows of a wrong length are for `bookOf()`, which tells what is wrong with them
  const parser = parse({ bom: true, info: true, relaxColumnCount: true, skipEmptyLines: true })
  const records: AsyncIterable<{ record: string[], info: Info }> = pipeline(createReadStream(file), parser, () => {})
  let header: string[] | undefined
  try {
    for await (const { record, info } of records) {
      if (header !== undefined) yield { values: record, line: info.lines, bytes: info.bytes }
      else assertHeader(file, header = record)
    }
  } catch (error) {
    throw error instanceof CsvError ? new BadRow(`${file}: ${error.message}`, { cause: error }) : error
  }
  if (header === undefined) throw badRow(file, 1, HEADER, 'nothing')
}

function assertHeader (file: string, header: string[]): void {
  if (header.join() !== COLUMNS.join()) throw badRow(file, 1, HEADER, header.join())
}

/** Throws a `BadRow` if there is no book in it. What the database would refuse without saying where is refused here. */
export function bookOf ({ values, line }: Row, file: string): NewBook {
  if (values.length !== COLUMNS.length) throw badRow(file, line, `${COLUMNS.length} values`, String(values.length))
  const [isbn, title, author, stock] = values as [string, string, string, string]
  const check = (column: string, value: string, pattern: RegExp, expected: string): void => {
    if (!pattern.test(value)) throw badRow(file, line, `${expected} as ${column}`, JSON.stringify(value))
  }
  check('isbn', isbn, /^\d{13}$/, '13 digits')
  check('title', title, TEXT, 'a text of up to 200 characters')
  check('author', author, TEXT, 'a text of up to 200 characters')
  check('stock', stock, /^\d{1,9}$/, 'a whole number below 1000000000')
  return { isbn, title, author, stock: Number(stock) }
}

/** Neither blank nor with control characters, of which PostgreSQL refuses one. */
const TEXT = /^(?=.*\S)\P{Cc}{1,200}$/u
