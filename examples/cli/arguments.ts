import { parseArgs } from 'node:util'
import type { DatabaseOptions } from './database.ts'
import { ImportError } from './errors.ts'

export interface Arguments {
  file: string
  batch: number
  database: DatabaseOptions
}

export const HELP = `Usage: import-books.ts FILE [--batch ROWS] [--database FILE]

Imports the books of a CSV file with the columns isbn,title,author,stock. An import
that was interrupted goes on where it stopped when it is started again.

  --batch ROWS      how many rows are committed together (500)
  --database FILE   the SQLite database to import into (books.sqlite)
  --help            this text

With DATABASE_URL set, and without --database, it imports into that PostgreSQL.
It ends with 0 when all is imported, with 130 when it was interrupted, and with 1
when something is wrong.`

const SEE_HELP = 'See --help.'

/** Throws an `ImportError` that says what is wrong with them. */
export function readArguments (given: string[], { DATABASE_URL: url }: NodeJS.ProcessEnv): Arguments | 'help' {
  const { values, positionals } = parse(given)
  if (values.help) return 'help'
  const [file, another] = positionals
  if (file === undefined) throw new ImportError(`Which file shall be imported? ${SEE_HELP}`)
  if (another !== undefined) throw new ImportError(`Expected one file, got "${file}" and "${another}". ${SEE_HELP}`)
  if (!/^[1-9]\d{0,3}$/.test(values.batch)) {
    throw new ImportError(`--batch takes a number of rows from 1 to 9999, got "${values.batch}". ${SEE_HELP}`)
  }
  const database = url && values.database === undefined ? { url } : { file: values.database ?? 'books.sqlite' }
  return { file, batch: Number(values.batch), database }
}

function parse (args: string[]) {
  try {
    return parseArgs({
      args,
      allowPositionals: true,
      options: {
        batch: { type: 'string', default: '500' },
        database: { type: 'string' },
        help: { type: 'boolean', short: 'h', default: false }
      }
    })
  } catch (error: any) {
    throw new ImportError(`${error.message}. ${SEE_HELP}`)
  }
}
