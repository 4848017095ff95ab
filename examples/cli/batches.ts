import { createHash } from 'node:crypto'
import { bookOf, readRows, type NewBook } from './book-rows.ts'
import { ImportError } from './errors.ts'

export interface Batch {
  books: { book: NewBook, line: number }[]
  /** How many rows of the file are imported before it, and with it. */
  before: number
  rows: number
  /** Of all these rows. */
  fingerprint: string
  bytes: number
}

export interface BatchOptions {
  file: string
  /** Rows in a batch. */
  size: number
  /** What is imported already. */
  rows: number
  fingerprint: string
  /** No row is read after it is aborted. */
  signal: AbortSignal
}

/** What there is still to import. Throws if the rows that are imported already are not in the file any more. */
export async function * batches ({ file, size, rows, fingerprint, signal }: BatchOptions): AsyncGenerator<Batch> {
  const hash = createHash('sha256')
  const fingerprintNow = (): string => hash.copy().digest('hex')
  let count = 0
  let bytes = 0
  let before = rows
  let books: Batch['books'] = []
  const take = (): Batch => {
    const batch = { books, before, rows: count, fingerprint: fingerprintNow(), bytes }
    before = count
    books = []
    return batch
  }

  for await (const row of readRows(file)) {
    if (signal.aborted) return
    hash.update(JSON.stringify(row.values))
    count++
    bytes = row.bytes
    if (count > rows) books.push({ book: bookOf(row, file), line: row.line })
    else if (count === rows && fingerprintNow() !== fingerprint) throw changed(file, rows)
    if (books.length === size) yield take()
  }
  if (count < rows) throw changed(file, rows)
  if (books.length > 0) yield take()
}

function changed (file: string, rows: number): ImportError {
  return new ImportError(`${file}: ${rows} rows are imported, and these have changed in the file since. Import it under another name.`)
}
