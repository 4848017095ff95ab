import Database from 'better-sqlite3'
import { functions } from '../../../lib/drivers/sqlite/functions.ts'
import { differences, type Tried, type TriedDatabase, type TriedDialect } from './database.ts'
import { statementsOf } from './grammar.ts'
import { HOSTILE, SELECTS } from './selects.ts'

const statements = statementsOf({
  ...SELECTS,
  known: [...functions],
  hostile: [...HOSTILE, "'touch_rows'(1)", 'pragma_optimize'],
  book: ['book as b', '`book` as `b`', '[book] b', '"main"."book" "b"', "'book' as b"],
  author: ['author as a', '`author` as `a`', '"author" "a"', 'author as `a` indexed by by_name'],
  numbers: ['b.id', '`b`.`id`', '"b"."price"', '[b].price'],
  texts: ['b.title', '`b`.`title`', '"b"."title"', 'b . [title]'],
  alias: ['x', '`for`', '"into"', "'update'", '[delete]', '"touch"'],
  type: ['integer', 'text', 'numeric(10,·2)', 'touch'],
  call: ['length·(·<text>·)', 'coalesce·(·<number>,·<number>·)', 'abs·(·<number>·)', 'iif·(·<condition>,·<number>,·<number>·)', 'json_array_length(·\'[1]\'·)', 'random·()'],
  textcall: [
    'lower·(·<text>·)', '<text> || <text>', 'substr·(·<text>,·1,·2·)', 'concat·(·<text>,·<number>·)', 'printf(·\'%s\',·<text>·)', 'json_extract(·\'{"a":1}\',·\'$.a\'·)', '<text> collate nocase',
    "'{}' -> '$.a'", 'datetime(·\'now\'·)'
  ],
  writer: [
    'touch·(·<number>·)', '"touch"·(1)', '`touch`·(1)', '[touch]·(1)', 'touch_all·(·<number>·)', 'last_insert_rowid()', 'changes·()', 'total_changes()', "load_extension·('x')",
    'touch·(1) filter·(where 1) over·()', '[lower]·(1)'
  ],
  textwriter: ["touch·('x')", "printf·('%s', touch(1))", "json_object·('a', touch·(2))"],
  lock: ['for update', 'for share', '/* for update */'],
  writingfrom: [
    'touch_rows·(1)', '"touch_rows"·(1)', "'touch_rows'·(1)", 'main.touch_rows·(1)', 'pragma_optimize', '`pragma_optimize`', "'pragma_optimize'·(·65534·)", "pragma_table_info·('book')", 'pragma_user_version',
    "json_each·('[1,2]') as b", 'pragma_journal_mode', '[main].pragma_optimize'
  ],
  cte: ['x as·(·<select>·) <select>', 'x as·(·<select>·) insert into log select 1', 'x as·(·<select>·) delete from book', 'recursive x·(n) as·(select 1 union select n from x) select * from x'],
  write: [
    "insert into log values ('x')", 'insert into `log` select <text> from <from>', 'update book set title = <text> where <condition>', 'delete from book where <condition>', 'replace into log values (<text>)',
    'create table t·(a)', 'create temp table t as <select>', 'drop table book', 'pragma user_version = 7', 'pragma foreign_keys = off', 'pragma optimize', "attach ':memory:' as other", 'commit', 'vacuum', 'analyze', 'reindex',
    "insert into log values ('x') returning *"
  ],
  odd: ['values·(1)', 'values·(touch(1))', 'explain <select>', 'explain query plan <select>', '/* x */ <select>', '·/*·select 1 */ <write>', 'select·<write>', "select touch·('x')", '-- x\n<select>', '(<select>)', 'savepoint x', 'select']
})

const STATE = `
  select total_changes() as changes, last_insert_rowid() as "last row", (select count(*) from pragma_database_list) as databases, (select count(*) from sqlite_temp_master) as "temporary tables",
    (select schema_version from pragma_schema_version) as schema, (select user_version from pragma_user_version) as version, (select foreign_keys from pragma_foreign_keys) as "foreign keys"`

async function open (): Promise<TriedDatabase> {
  const database = new Database(':memory:')
  let calls = 0
  const touch = (): number => ++calls
  database.function('touch', { varargs: true }, touch)
  database.aggregate('touch_all', { start: 0, varargs: true, step: touch })
  database.table('touch_rows', { columns: ['n'], parameters: ['of'], * rows () { yield [touch()] } })
  database.exec(`
    create table book (id integer primary key, title text, price numeric, author_id int);
    create table author (author integer primary key, name text);
    create table log (x text);
    create index by_name on author (name);
    create index by_title on book (title);
    insert into author values (1, 'Jane'), (2, 'Emily');
    insert into book values (1, 'Emma', 9.5, 1), (2, 'Persuasion', 8, 1), (3, 'x', 7, 2);
  `)
  const state = database.prepare(STATE)
  const seen = (): object => ({ ...state.get() as object, calls, transaction: database.inTransaction })
  return {
    async try (sql): Promise<Tried> {
      database.exec('begin')
      const before = seen()
      try {
        database.exec(sql)
        return { isRefused: false, changes: differences(before, seen()) }
      } catch (error) {
        return { isRefused: true, changes: differences(before, seen()) }
      } finally {
        if (database.inTransaction) database.exec('rollback')
      }
    },
    async close () { database.close() }
  }
}

export const sqlite: TriedDialect = {
  statements,
  open,
  writes: [
    "insert into log values ('x')", 'select touch(1)', 'select touch_all(id) from book', "select * from 'touch_rows'(1)", 'create table t (a)', 'create temp table t (a)', 'pragma user_version = 7',
    "attach ':memory:' as other", 'commit'
  ]
}
