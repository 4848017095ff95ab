import { UniqueConstraintViolationException, type MikroORM } from '@mikro-orm/core'
import { resolve } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { em, runInContext } from 'fastify-context-orm'
import { batches, type Batch } from './batches.ts'
import { Book, Import } from './entities.ts'
import { BadRow, badRow, ImportError } from './errors.ts'

export interface Progress {
  /** Of the file, imported by now. */
  rows: number
  /** Of the file, read by now. */
  bytes: number
}

export interface ImportOptions {
  orm: MikroORM
  file: string
  /** Rows in a batch. */
  batch: number
  /** When it is aborted, the batch that is being written is the last one. */
  signal: AbortSignal
  onProgress (progress: Progress): void
}

/** Resolves with the rows of the file that were imported before, and that are now. */
export async function importBooks ({ orm, file, batch: size, signal, onProgress }: ImportOptions): Promise<{ before: number, rows: number }> {
  const { id, rows: before, fingerprint } = await runInContext({ orm, name: `the import of ${file}` }, () => findOrStart(file))
  let rows = before
  onProgress({ rows, bytes: 0 })
  try {
    for await (const batch of batches({ file, size, rows, fingerprint, signal })) {
      // not with the signal, which would roll it back
      await runInContext({ orm, name: `rows ${rows + 1}–${batch.rows} of ${file}` }, () => write(id, batch))
        .catch(async error => { throw await explain(error, orm, file, batch) })
      rows = batch.rows
      onProgress(batch)
      // SQLite never waits: without this, a Ctrl-C would not be heard before all that has been read is written
      await setImmediate()
    }
    return { before, rows }
  } catch (error) {
    if (!(error instanceof BadRow)) throw error
    const stays = rows === 0 ? 'Nothing is imported.' : `${rows} rows are imported, and stay.`
    throw new ImportError(`${error.message}\n${stays} Correct the file, and run the same command again.`, { cause: error })
  }
}

/** Two processes that start at once get the same one. */
async function findOrStart (file: string) {
  return await em().upsert(Import, { file: resolve(file) }, { onConflictFields: ['file'], onConflictAction: 'ignore' })
}

/** Nobody flushes or commits: that comes when the context ends. */
async function write (id: number, { before, rows, fingerprint, books }: Batch): Promise<void> {
  const moved = await em().nativeUpdate(Import, { id, rows: before }, { rows, fingerprint })
  if (moved === 0) throw new ImportError('Another import of this file is running.')
  for (const { book } of books) em().create(Book, book)
}

/** The database knows that an ISBN is taken, but not in which line of the file. */
async function explain (error: unknown, orm: MikroORM, file: string, { books }: Batch): Promise<unknown> {
  if (!(error instanceof UniqueConstraintViolationException)) return error
  const isbns = books.map(({ book }) => book.isbn)
  const there = await runInContext({ orm, readOnly: true }, () => em().find(Book, { isbn: { $in: isbns } }))
  const taken = new Set(there.map(book => book.isbn))
  for (const { book: { isbn }, line } of books) {
    if (taken.has(isbn)) return badRow(file, line, 'an isbn that no other book has', JSON.stringify(isbn))
    taken.add(isbn)
  }
  return error
}
