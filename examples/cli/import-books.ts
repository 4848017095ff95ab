/**
 * Imports a CSV file of books, with a progress bar. Each batch is a context of its own: a transaction, and entities that
 * are gone with it, so that the memory stays the same however long the file is. How far the import has come is written
 * in the same transaction as the rows. So it can be interrupted by whatever (also by a `kill -9`), and goes on where it
 * stopped when it is started again.
 *
 *     npm run example -- cli examples/cli/books.csv
 *     npm run example -- cli --help
 */
import { HELP, readArguments, type Arguments } from './arguments.ts'
import { openDatabase } from './database.ts'
import { ImportError } from './errors.ts'
import { importBooks } from './import.ts'
import { ProgressBar } from './progress-bar.ts'

const INTERRUPTED = 130

const interruption = new AbortController()
// once: the second Ctrl-C ends the process at once, and the database takes the batch back
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => interruption.abort())

try {
  const given = readArguments(process.argv.slice(2), process.env)
  if (given === 'help') console.log(HELP)
  else await run(given)
} catch (error) {
  console.error(error instanceof ImportError ? error.message : error)
  process.exitCode = 1
}

async function run ({ file, batch, database }: Arguments): Promise<void> {
  const bar = await ProgressBar.of(file)
  const orm = await openDatabase(database)
  try {
    const { before, rows } = await importBooks({ orm, file, batch, signal: interruption.signal, onProgress: bar.show })
    if (interruption.signal.aborted) {
      bar.stop()
      console.error(`Interrupted: ${rows} rows of ${file} are imported. Run the same command again to go on.`)
      process.exitCode = INTERRUPTED
    } else {
      bar.complete()
      console.log(`${rows - before} rows imported from ${file}${before > 0 ? `, after ${before} before` : ''}`)
    }
  } catch (error) {
    bar.stop()
    if (!(error instanceof ImportError)) console.error(`The import of ${file} has failed. Run the same command again to go on.`)
    throw error
  } finally {
    await orm.close()
  }
}
