import { createConnection, type RowDataPacket } from 'mysql2/promise'
import { functions } from '../../../lib/drivers/mysql/functions.ts'
import { freshMariadb } from '../../support/fresh-mariadb.ts'
import { differences, type Tried, type TriedDatabase, type TriedDialect } from './database.ts'
import { statementsOf } from './grammar.ts'
import { HOSTILE, SELECTS } from './selects.ts'

const statements = statementsOf({
  ...SELECTS,
  known: [...functions],
  hostile: [...HOSTILE, '@a := 1', "get_lock('l', 0)", 'nextval(s)', ' sql_calc_found_rows ', ' procedure '],
  book: ['book as b', '`book` as `b`', '`book` b', 'book as b use index (primary)', '`book` as `b` force index·(primary)'],
  author: ['author as a', '`author` as `a`', '`author` `a`'],
  numbers: ['b.id', '3: `b`.`id`', '`b` . `price`', 'b.price'],
  texts: ['b.title', '3: `b`.`title`', 'title'],
  alias: ['x', '`for`', '`into`', "'update'", '"delete"', '`touch`'],
  type: ['signed', 'char', 'decimal(10,·2)', 'json', 'char(5) character set utf8mb4'],
  call: [
    'length(·<text>·)', 'coalesce(·<number>,·<number>·)', 'abs·(·<number>·)', 'if(·<condition>,·<number>,·<number>·)', 'rand()', 'year(·now()·)', 'extract(·year from now()·)', '<number> div <number>', 'char_length(·<text>·)',
    "datediff(now(),·'2026-01-01')", 'convert(·<number>,·signed·)'
  ],
  textcall: ['lower(·<text>·)', 'concat(·<text>,·<text>·)', 'substring(·<text>,·1,·2·)', 'trim(·leading \'x\' from <text>·)', 'json_unquote(·\'"a"\'·)', 'uuid()', 'ifnull(<text>,·"x")', "date_format(now(),·'%Y')", '<text> collate utf8mb4_bin', '"x"'],
  writer: [
    'nextval·(s)', 'next value for s', 'setval·(s,·7)', 'touch·(·<number>·)', '`touch`·(1)', 'sum (1)', 'sum/**/(1)', 'now\n()', "get_lock·('l',·0)", "release_lock·('l')", 'last_insert_id·(7)', '@a·:=·7', '(@a := @a + 1)', 'lastval(s)', 's.nextval', '`s`.`nextval`',
    'row_count()', 'found_rows()', 'benchmark·(1,·touch(1))', '/*! touch(1) */', '/*!50000 touch·(1) */', '1 /*M! + touch(1) */', '1--touch(1)', 'interval(1,·touch(2))', 'values(touch(1))', 'name_const(\'x\',·touch(1))', 'uuid_short()'
  ],
  textwriter: ['lower·(touch(1))', "concat·('x',·touch·(2))", "'a\\'' /* ' */", "\"'\" /* \" */", "_utf8mb4'x'", "'x' # touch(\n"],
  lock: ['for update', 'for update skip locked', 'lock in share mode', 'lock in share mode nowait', 'into @a', "into outfile '/dev/null'", 'procedure analyse·()', 'for system_time all', '/*! for update */', '/*!40000 lock in share mode */'],
  writingfrom: ['s', 'seq_1_to_3 as b', "json_table('[1]',·'$[*]' columns(id int path '$'))·as b", '(values (1)) as b', 'book partition (p0) as b'],
  cte: ['x as·(·<select>·) <select>', 'x as·(·<select>·) delete from book', 'recursive x·(n) as·(select 1 union select n from x) select * from x'],
  write: [
    "insert into log values ('x')", 'insert into `log` select <text> from <from>', 'update book set title = <text> where <condition>', 'delete from book where <condition>', 'replace into log values (<text>)', "insert into log values ('x') returning *",
    'set @a = 7', "do get_lock('l',·0)", 'commit', 'select <items> into @a', 'select 7 into @a', 'call touching()', 'handler book open', "execute immediate 'select touch(1)'", 'begin not atomic select touch(1); end', 'set statement max_statement_time=1 for <select>'
  ],
  odd: ['values·(1)', 'values·(touch(1))', 'table book', 'explain <select>', 'analyze <select>', 'analyze <write>', '/* x */ <select>', '/*! <select> */', '·/*·select 1 */ <write>', 'select·<write>', '# x\n<select>', '(<select>)', 'select sql_calc_found_rows <items> from <from>', 'select high_priority <items>', 'select sql_no_cache <items> from <from>', 'select'],
  gap: [...SELECTS.gap!, ' # /*\n', '/*+ x */'],
  nothing: [...SELECTS.nothing!, '/*!*/']
})

const STATE = `
  select @@in_transaction as transaction, @a as variable, @@sql_mode as mode, last_insert_id() as "last id", is_used_lock('l') is not null as locks, (select next_not_cached_value from s) as sequence,
    (select count(*) from log) as logged, (select group_concat(title) from book) as titles`

const SETUP = `
  create table book (id int primary key, title varchar(100), price decimal(10, 2), author_id int);
  create table author (author int primary key, name varchar(100));
  create table log (x text) engine = aria;
  insert into author values (1, 'Jane'), (2, 'Emily');
  insert into book values (1, 'Emma', 9.5, 1), (2, 'Persuasion', 8, 1), (3, 'x', 7, 2);
  create sequence s nocache;
  create function touch(a text) returns int begin insert into log values ('touch'); return 1; end;
  create function \`now\`() returns int begin insert into log values ('now'); return 1; end;
  create function \`sum\`(a int) returns int begin insert into log values ('sum'); return 1; end;
  create procedure touching() insert into log values ('touching');`

async function open (mode: string): Promise<TriedDatabase> {
  const { url } = await freshMariadb()
  const connect = (): ReturnType<typeof createConnection> => createConnection({ uri: url, multipleStatements: true })
  const [tried, other] = [await connect(), await connect()]
  await other.query(SETUP)
  await tried.query(`set session max_statement_time = 2, sql_mode = concat(@@sql_mode, ',${mode}')`)
  const rows = async (connection: typeof tried, sql: string): Promise<any[]> => (await connection.query<RowDataPacket[]>(sql))[0]
  const state = async (): Promise<object> => {
    const counters = await rows(tried, "show session status where variable_name in ('Handler_write', 'Handler_delete')") // window functions update rows of their own
    const [state] = await rows(tried, STATE)
    // rows that are locked are not among these
    const [free] = await rows(other, 'select count(*) as free from (select id from book for update skip locked) as free')
    return { ...state, ...free, ...Object.fromEntries(counters.map(row => [row.Variable_name, row.Value])) }
  }
  const startAgain = (): Promise<unknown> => tried.query('rollback; set @a = null; do release_all_locks(); start transaction')
  await startAgain()
  let before: object | undefined
  return {
    async try (sql): Promise<Tried> {
      before ??= await state()
      const isRefused = await tried.query(sql).then(() => false, () => true)
      const changes = differences(before, await state())
      await startAgain()
      if (changes.length > 0) before = undefined
      return { isRefused, changes }
    },
    async close () { await Promise.all([tried.end(), other.end()]) }
  }
}

const WRITES = [
  "insert into log values ('x')", 'update book set title = id', 'delete from book', 'select touch(1)', 'select nextval(s)', 'select @a := 7', "select get_lock('l', 0)", 'select last_insert_id(7)', 'select * from book for update',
  'select id from book lock in share mode', 'commit', 'select 7 into @a', '/*! insert into log values (1) */'
]

export const mariadb: TriedDialect = { statements, open: () => open(''), writes: WRITES }

/** Where sequences are asked as in Oracle, `"` begins a name, and `\\` is a character like any other. */
export const mariadbAsOracle: TriedDialect = {
  statements,
  open: () => open('ORACLE,NO_BACKSLASH_ESCAPES'),
  writes: ['select s.nextval', 'select `s`.`nextval`', 'select "s"."nextval"', 'select s/**/./**/NextVal', ...WRITES]
}
