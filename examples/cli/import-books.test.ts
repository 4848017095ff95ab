import { MikroORM } from '@mikro-orm/sqlite'
import Sqlite from 'better-sqlite3'
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { until } from '../../test/support/until.ts'
import { withoutPostgres } from '../../test/support/without-servers.ts'
import { createDatabase } from '../support/postgres-database.ts'
import { readArguments } from './arguments.ts'
import type { NewBook } from './book-rows.ts'
import { openDatabase, type DatabaseOptions } from './database.ts'
import { Book, Import } from './entities.ts'
import { importBooks } from './import.ts'

const HEADER = 'isbn,title,author,stock'

/** Where a script runs, and what is there. */
interface Place {
  folder: string
  database: Database
  /** Starts the script on `books.csv`. */
  start (...args: string[]): Script
  /** The same, until it ends. */
  run (...args: string[]): Promise<Ended>
}

interface Database {
  options: DatabaseOptions
  /** On a connection of the test's own. */
  query (sql: string): Promise<any[]>
  /** The same, for what gives no rows. */
  execute (sql: string): Promise<void>
  /** Lets nobody else write, from when it resolves until `release()`. */
  hold (): Promise<void>
  release (): Promise<void>
  /** Whether a script is known to wait for `release()`. SQLite does not tell. */
  hasWaiting (): Promise<boolean | 'unknown'>
}

interface Ended {
  code: number | null
  output: string
  errors: string
}

interface Script {
  process: ChildProcess
  ended: Promise<Ended>
}

type Run = (t: Test, place: Place) => Promise<void>

function onEachDatabase (name: string, run: Run): void {
  onSqlite(name, run)

  t.test(`${name} (PostgreSQL)`, { skip: withoutPostgres }, async t => {
    const { url, query } = await createDatabase(t)
    await runIn(t, run, {
      options: { url },
      query,
      execute: async sql => { await query(sql) },
      async hold () {
        await query('begin')
        await query('lock table book_import in exclusive mode')
      },
      async release () {
        await query('commit')
      },
      async hasWaiting () {
        return (await query("select 1 from pg_locks where not granted and relation = 'book_import'::regclass")).length > 0
      }
    })
  })
}

function onSqlite (name: string, run: Run): void {
  t.test(`${name} (SQLite)`, async t => {
    const file = join(t.testdir({}), 'books.sqlite')
    const connection = new Sqlite(file)
    t.teardown(() => connection.close())
    await runIn(t, run, {
      options: { file },
      query: async sql => connection.prepare(sql).all(),
      execute: async sql => { connection.exec(sql) },
      async hold () {
        // SQLite would sleep between its attempts, longer each time, and the import needs the lock again at once
        connection.pragma('busy_timeout = 0')
        await until(async () => {
          try {
            connection.exec('begin immediate')
            return true
          } catch (error) {
            if ((error as { code?: string }).code === 'SQLITE_BUSY') return false
            throw error
          }
        })
        connection.pragma('busy_timeout = 5000')
      },
      async release () {
        connection.exec('commit')
      },
      hasWaiting: async () => 'unknown'
    })
  })
}

async function runIn (t: Test, run: Run, database: Database): Promise<void> {
  const { options } = database
  await (await openDatabase(options)).close() // so there are tables to look at
  const folder = t.testdirName
  if (!existsSync(folder)) t.testdir({})
  const env: Record<string, string> = 'url' in options ? { DATABASE_URL: options.url } : {}
  const args = 'file' in options ? ['--database', options.file] : []
  const start = (...more: string[]): Script => startScript(t, folder, env, ['books.csv', ...args, ...more])
  await run(t, { folder, database, start, run: (...more) => start(...more).ended })
}

/** The script is started some fifty times: it is compiled once, which V8 cannot do where it measures coverage. */
const QUICK_START = { NODE_COMPILE_CACHE: join(tmpdir(), 'fastify-context-orm-compiled'), _TAPJS_PROCESSINFO_COVERAGE_: '0' }

function startScript (t: Test, folder: string, env: Record<string, string>, args: string[]): Script {
  const { DATABASE_URL, ...inherited } = process.env
  const script = join(import.meta.dirname, 'import-books.ts')
  const child = spawn(process.execPath, [script, ...args], { cwd: folder, env: { ...inherited, ...QUICK_START, ...env } })
  t.teardown(() => child.kill('SIGKILL'))
  const text = async (stream: NodeJS.ReadableStream): Promise<string> => Buffer.concat(await (stream as any).toArray()).toString()
  const ended = Promise.all([once(child, 'close'), text(child.stdout), text(child.stderr)])
    .then(([[code], output, errors]) => ({ code, output, errors }))
  return { process: child, ended }
}

function isbn (i: number): string {
  return `978${String(i).padStart(10, '0')}`
}

/** That many books, all of which differ, with what a CSV file has to quote. */
function makeBooks (count: number): NewBook[] {
  return Array.from({ length: count }, (_, i) => ({
    isbn: isbn(i), title: `The "${i}th", or: Brontë`, author: `Author, ${i % 97}`, stock: i % 10
  }))
}

function lineOf ({ isbn, title, author, stock }: NewBook): string {
  return [isbn, ...[title, author].map(text => `"${text.replaceAll('"', '""')}"`), stock].join()
}

function writeFile ({ folder }: Place, lines: string[]): void {
  writeFileSync(join(folder, 'books.csv'), [HEADER, ...lines].join('\n'))
}

function writeBooks (place: Place, count: number): NewBook[] {
  const books = makeBooks(count)
  writeFile(place, books.map(lineOf))
  return books
}

async function imported ({ database }: Place): Promise<NewBook[]> {
  return (await database.query('select isbn, title, author, stock from imported_book order by isbn')).map(row => ({ ...row }))
}

/** What the database says of how far the import has come. */
async function rowsDone ({ database }: Place): Promise<number> {
  return (await database.query('select "rows" from book_import'))[0]?.rows ?? 0
}

onEachDatabase('a file is imported row by row, and a second time not at all', async (t, place) => {
  const books = writeBooks(place, 1234)
  const { code, output, errors } = await place.run('--batch', '100')
  t.strictSame([code, output], [0, '1234 rows imported from books.csv\n'], errors)
  t.match(errors, /-+ 0% \| 0 rows \|/)
  t.match(errors, /=+ 100% \| 1234 rows \|/)
  t.strictSame(await imported(place), books)

  t.match(await place.run(), { code: 0, output: '0 rows imported from books.csv, after 1234 before\n' })
  t.strictSame(await imported(place), books)

  const more = writeBooks(place, 1240)
  t.match(await place.run('--batch', '5'), { code: 0, output: '6 rows imported from books.csv, after 1234 before\n' })
  t.strictSame(await imported(place), more, 'what has been added to the file is')
})

/** Starts an import, and holds it in the middle. Gives the rows that are imported then. */
async function holdInTheMiddle (t: Test, place: Place, count: number, script: Script): Promise<number> {
  await until(async () => await rowsDone(place) > 0 || script.process.exitCode !== null)
  await place.database.hold()
  await until(async () => await place.database.hasWaiting() !== false)
  const done = await rowsDone(place)
  t.ok(done > 0 && done < count, `${done} of ${count}`)
  t.strictSame((await imported(place)).length, done)
  return done
}

for (const [signal, onDatabases] of [['SIGINT', onEachDatabase], ['SIGTERM', onSqlite]] as const) {
  onDatabases(`${signal} ends the import after the batch, and it goes on there`, async (t, place) => {
    const books = writeBooks(place, 6_000)
    const script = place.start('--batch', '10')
    const done = await holdInTheMiddle(t, place, books.length, script)
    script.process.kill(signal)
    await place.database.release()
    const { code, output, errors } = await script.ended
    const rows = await rowsDone(place)
    t.strictSame([code, output], [130, ''])
    t.match(errors, `\nInterrupted: ${rows} rows of books.csv are imported. Run the same command again to go on.\n`)
    if ('url' in place.database.options) t.equal(rows, done + 10, 'the batch that was being written is finished, and is the last')
    else t.ok(rows === done || rows === done + 10)
    t.strictSame(await imported(place), books.slice(0, rows))

    t.match(await place.run('--batch', '900'), { code: 0, output: `${books.length - rows} rows imported from books.csv, after ${rows} before\n` })
    t.strictSame(await imported(place), books)
  })
}

onEachDatabase('SIGKILL loses the batch that is being written, and the import goes on with it', async (t, place) => {
  const books = writeBooks(place, 6_000)
  const script = place.start('--batch', '10')
  const done = await holdInTheMiddle(t, place, books.length, script)
  script.process.kill('SIGKILL')
  await script.ended
  await place.database.release()
  t.equal(script.process.signalCode, 'SIGKILL')
  t.equal(await rowsDone(place), done)
  t.strictSame(await imported(place), books.slice(0, done))

  t.match(await place.run(), { code: 0, output: `${books.length - done} rows imported from books.csv, after ${done} before\n` })
  t.strictSame(await imported(place), books)
})

onEachDatabase('what the database says besides is shown as it is', async (t, place) => {
  writeBooks(place, 3)
  if ('url' in place.database.options) {
    await place.database.execute('create function refuse () returns trigger language plpgsql as $$ begin raise unique_violation using message = \'refused\'; end $$')
    await place.database.execute('create trigger refuse before insert on imported_book for each row execute function refuse()')
  } else {
    await place.database.execute("create trigger refuse before insert on imported_book begin select raise(abort, 'UNIQUE constraint failed: refused'); end")
  }
  const { code, errors } = await place.run()
  t.equal(code, 1)
  t.match(errors, /The import of books\.csv has failed\. Run the same command again to go on\.\n.*refused/s)
  t.strictSame(await imported(place), [])
})

onEachDatabase('of two imports of one file, one stops', async (t, place) => {
  const books = writeBooks(place, 6_000)
  const script = place.start('--batch', '10')
  const done = await holdInTheMiddle(t, place, books.length, script)
  // what another import would have done, had it been faster
  const next = books[done]!
  await place.database.query(`insert into imported_book (isbn, title, author, stock) values ('${next.isbn}', '${next.title}', '${next.author}', ${next.stock}) returning id`)
  await place.database.query('update book_import set "rows" = "rows" + 1 returning id')
  await place.database.release()
  const { code, errors } = await script.ended
  t.equal(code, 1)
  t.match(errors, '\nAnother import of this file is running.\n')
  t.equal(await rowsDone(place), done + 1)
  t.strictSame(await imported(place), books.slice(0, done + 1))
})

onEachDatabase('a bad row ends the import, and the batches before it stay', async (t, place) => {
  const books = makeBooks(250)
  const lines = books.map(lineOf)
  writeFile(place, lines.with(230, `${isbn(230)},A title,An author,many`))
  const { code, output, errors } = await place.run('--batch', '100')
  t.strictSame([code, output], [1, ''])
  t.ok(errors.endsWith('\nbooks.csv, line 232: expected a whole number below 1000000000 as stock, got "many"\n' +
    '200 rows are imported, and stay. Correct the file, and run the same command again.\n'), errors)
  t.strictSame(await imported(place), books.slice(0, 200))

  writeFile(place, lines.with(249, lines[7]!))
  const twice = await place.run('--batch', '49')
  t.equal(twice.code, 1)
  t.match(twice.errors, `\nbooks.csv, line 251: expected an isbn that no other book has, got "${isbn(7)}"\n249 rows are imported, and stay.`)
  t.strictSame(await imported(place), books.slice(0, 249))

  writeFile(place, lines.with(7, lines[8]!))
  t.match(await place.run(), {
    code: 1, errors: 'books.csv: 249 rows are imported, and these have changed in the file since. Import it under another name.\n'
  })
  writeFile(place, lines.slice(0, 100))
  t.match(await place.run(), { code: 1, errors: /249 rows are imported, and these have changed/ }, 'also if they are gone')
  t.strictSame(await imported(place), books.slice(0, 249))

  writeFile(place, lines)
  t.match(await place.run(), { code: 0, output: '1 rows imported from books.csv, after 249 before\n' })
  t.strictSame(await imported(place), books)
})

t.test('of each bad row it is said what was expected and what came', async t => {
  const file = join(t.testdir({}), 'books.csv')
  const orm = await openDatabase({ file: ':memory:' })
  t.teardown(() => orm.close())
  const importText = async (text: string): Promise<string> => {
    writeFileSync(file, text)
    return await importBooks({ orm, file, batch: 5, signal: new AbortController().signal, onProgress () {} }).then(() => 'imported', error => error.message)
  }
  const good = lineOf(makeBooks(1)[0]!)
  const bad: [lines: string[], message: string][] = [
    [[good, '123,A title,An author,1'], 'books.csv, line 3: expected 13 digits as isbn, got "123"'],
    [[good, `${isbn(1)}, ,An author,1`], 'books.csv, line 3: expected a text of up to 200 characters as title, got " "'],
    [[good, '', `${isbn(1)},A title,${'x'.repeat(201)},1`], 'books.csv, line 4: expected a text of up to 200 characters as author, got "xxx'],
    [[good, `${isbn(1)},A\0title,An author,1`], 'books.csv, line 3: expected a text of up to 200 characters as title, got "A\\u0000title"'],
    [[good, `${isbn(1)},A title,An author,-1`], 'books.csv, line 3: expected a whole number below 1000000000 as stock, got "-1"'],
    [[good, `${isbn(1)},A title,1`], 'books.csv, line 3: expected 4 values, got 3'],
    [[good, `${isbn(1)},A title,An author,1,2`], 'books.csv, line 3: expected 4 values, got 5'],
    [[good, `${isbn(1)},"A" title,An author,1`], 'books.csv: Invalid Closing Quote: got " " at line 3'],
    [[good, good], `books.csv, line 3: expected an isbn that no other book has, got "${isbn(0)}"`]
  ]
  for (const [lines, message] of bad) {
    const said = await importText([HEADER, ...lines].join('\n'))
    t.ok(said.startsWith(join(file, '..', message)), said)
    t.ok(said.endsWith('\nNothing is imported. Correct the file, and run the same command again.'), said)
  }
  for (const [text, got] of [['', 'nothing'], ['title,isbn\n', 'title,isbn']] as const) {
    t.match(await importText(text), `books.csv, line 1: expected the columns ${HEADER}, got ${got}\n`)
  }
  t.equal(await orm.em.fork().count(Book), 0)
})

t.test('each mistake in the arguments says what is wrong with it', async t => {
  const mistakes: [args: string[], message: RegExp][] = [
    [[], /^Which file shall be imported\? See --help\.$/],
    [['books.csv', 'more.csv'], /^Expected one file, got "books\.csv" and "more\.csv"\. See --help\.$/],
    [['books.csv', '--batch', '0'], /^--batch takes a number of rows from 1 to 9999, got "0"\. See --help\.$/],
    [['books.csv', '--batch', 'all'], /^--batch takes .*, got "all"\. See --help\.$/],
    [['books.csv', '--bach', '5'], /^Unknown option '--bach'.* See --help\.$/]
  ]
  for (const [args, message] of mistakes) t.throws(() => readArguments(args, {}), { message }, args.join(' '))
  const url = 'postgresql://localhost/books'
  t.strictSame(readArguments(['a.csv'], { DATABASE_URL: url }), { file: 'a.csv', batch: 500, database: { url } })
  t.strictSame(readArguments(['a.csv', '--database', 'b.sqlite', '--batch', '7'], { DATABASE_URL: url }), { file: 'a.csv', batch: 7, database: { file: 'b.sqlite' } })
})

t.test('a file that is missing is said to be, before there is a database', async t => {
  const folder = t.testdir({ 'books.csv': HEADER })
  const run = (args: string[], env = {}): Promise<Ended> => startScript(t, folder, env, args).ended
  t.strictSame(await run([]), { code: 1, output: '', errors: 'Which file shall be imported? See --help.\n' })
  t.strictSame(await run(['missing.csv']), { code: 1, output: '', errors: 'There is no file missing.csv\n' })
  t.strictSame(await run(['.']), { code: 1, output: '', errors: '. is not a file\n' })
  t.match(await run([join('books.csv', 'x')]), { code: 1, errors: /books\.csv\/x cannot be read: ENOTDIR/ })
  t.match(await run(['--help']), { code: 0, output: /^Usage: import-books\.ts FILE/, errors: '' })
  t.notOk(existsSync(join(folder, 'books.sqlite')))

  t.match(await run(['books.csv'], { DATABASE_URL: 'postgresql://127.0.0.1:1/books' }), {
    code: 1, errors: 'The database cannot be opened: connect ECONNREFUSED 127.0.0.1:1\n'
  })
  t.match(await run(['books.csv']), { code: 0, output: '0 rows imported from books.csv\n' })
  t.ok(existsSync(join(folder, 'books.sqlite')), 'which is what it imports into unless told otherwise')
})

t.test('the example can be tried with the file that comes with it', async t => {
  const args = [join(import.meta.dirname, 'books.csv'), '--database', 'books.sqlite']
  t.match(await startScript(t, t.testdir({}), {}, args).ended, { code: 0, output: /^7 rows imported from / })
})

t.test('a batch takes four statements, however many rows it has', async t => {
  const folder = t.testdir({ 'books.csv': [HEADER, ...makeBooks(600).map(lineOf)].join('\n') })
  for (const batch of [3, 200]) {
    const sent: string[] = []
    const orm = await MikroORM.init({ entities: [Book, Import], dbName: ':memory:', driverOptions: { verbose: (sql: string) => sent.push(sql) } })
    t.teardown(() => orm.close())
    await orm.schema.create()
    sent.length = 0
    await importBooks({ orm, file: join(folder, 'books.csv'), batch, signal: new AbortController().signal, onProgress () {} })
    const kinds = sent.map(sql => sql.split(' ')[0])
    const batches = kinds.slice(kinds.indexOf('update') - 1)
    t.strictSame(batches, Array.from({ length: 600 / batch }, () => ['begin', 'update', 'insert', 'commit']).flat())
  }
})
