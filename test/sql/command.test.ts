import fc from 'fast-check'
import t from 'tap'
import type { Dialect } from '../../lib/drivers/dialect.ts'
import { commandOf } from '../../lib/sql/statement.ts'

const DIALECTS: Dialect[] = ['postgresql', 'mysql', 'sqlite', 'unknown']
type Case = readonly [sql: string, command: string, ...where: Dialect[]]

/** Where it is that command; elsewhere it is none. */
const COMMANDS: Record<string, Case[]> = {
  'on its own': [
    ['commit', 'commit', ...DIALECTS], ['COMMIT;', 'commit', ...DIALECTS], ['commit and chain', 'commit', ...DIALECTS], ["commit prepared 'x'", 'commit', ...DIALECTS], ['rollback', 'rollback', ...DIALECTS], ['rollback work', 'rollback', ...DIALECTS],
    ['begin', 'begin', ...DIALECTS], ['begin immediate', 'begin', ...DIALECTS], ['begin isolation level serializable', 'begin', ...DIALECTS], ['start transaction read only', 'start transaction', ...DIALECTS],
    ['end', 'end', 'postgresql', 'sqlite', 'unknown'], ['abort', 'abort', 'postgresql', 'unknown'], ["prepare transaction 'x'", 'prepare transaction', ...DIALECTS], ["xa start 'x'", 'xa', 'mysql'],
    ['set autocommit = 0', 'set autocommit', 'mysql'], ['set @@session.autocommit = 1', 'set autocommit', 'mysql'], ['set x = 1, `autocommit` = 0', 'set autocommit', 'mysql']
  ],
  'with comments and odd spacing': [
    [' \n\tCoMmIt ', 'commit', ...DIALECTS], ['/* c */ commit', 'commit', ...DIALECTS], ['-- c\ncommit', 'commit', ...DIALECTS], ['start/**/transaction', 'start transaction', ...DIALECTS], [';;commit', 'commit', ...DIALECTS],
    ['/* a /* b */ c */ commit', 'commit', 'postgresql', 'unknown'], ['# c\ncommit', 'commit', 'mysql', 'unknown'], ['/*! commit */', 'commit', 'mysql'], ['/*M!100100 commit */', 'commit', 'mysql'], ['/*!99999 insert */ commit', 'commit', ...DIALECTS], ['commit--c', 'commit', ...DIALECTS],
    ['\\rollback', 'rollback', 'unknown']
  ],
  'among other statements': [
    ["insert into t values ('x'); commit", 'commit', ...DIALECTS], ['select 1; /* c */ ROLLBACK; select 2', 'rollback', ...DIALECTS], ['select 1;begin', 'begin', ...DIALECTS], ["select 'a''b'; commit --'", 'commit', ...DIALECTS], ['select "a;"; end', 'end', 'postgresql', 'sqlite', 'unknown'],
    ["select E'\\'; commit; --'", 'commit', 'sqlite', 'unknown'], ["select E'\\''; commit", 'commit', 'postgresql', 'mysql'], ["select '\\'; commit; -- '", 'commit', 'postgresql', 'sqlite', 'unknown'], ["select 'a\\\\'; commit", 'commit', ...DIALECTS], ['select $$a$$; commit', 'commit', ...DIALECTS],
    ['select $1; commit', 'commit', ...DIALECTS], ['select [a;b]; commit', 'commit', ...DIALECTS], ['select `a;`; commit', 'commit', ...DIALECTS], ['create table t (begin int); commit', 'commit', ...DIALECTS], ['do $$ begin end $$; commit', 'commit', ...DIALECTS]
  ],
  'after a routine': [
    ['create function f(begin int) returns int begin atomic select case a when 1 then 2 end; select 2; end; commit', 'commit', ...DIALECTS],
    ['create function f() returns void language plpgsql as $$ begin commit; end $$; end', 'end', 'postgresql', 'sqlite', 'unknown']
  ],
  'without a semicolon, as in SQL Server': [
    ['select 1 commit', 'commit', 'unknown'], ['delete from t rollback', 'rollback', 'unknown'], ['select 1 begin tran', 'begin transaction', 'unknown']
  ]
}

const NONE = [
  '', ' ', ';', 'select 1', "select 'commit'", "insert into t values ('; commit')", 'select "commit" from "begin"', 'insert into t ("end") values (1)', 'select case when a then b end', 'update t set a = 1; update t set a = 2',
  'explain select 1', 'select 1 as commit', 'select t.commit from t', 'insert into t values (1); -- commit', 'insert into t values (1) /* ; commit */', 'savepoint x', 'release savepoint x', 'release x', 'set transaction isolation level serializable',
  'start', 'prepare q as select 1', 'committed', 'begins', 'set a = 1', "set x = 'autocommit'", 'select autocommit', 'create table t (a int); insert into t values (1)', "select ';", "select 1; select 'commit", '/* commit', '; /*'
]

for (const [group, cases] of Object.entries(COMMANDS)) {
  t.test(`a command ${group}`, async t => {
    for (const [sql, command, ...where] of cases) {
      for (const dialect of DIALECTS) t.equal(commandOf(sql, dialect), where.includes(dialect) ? command : undefined, `${dialect}: ${sql}`)
    }
  })
}

t.test('a compound statement of MariaDB, which may hold one', async t => {
  for (const sql of [
    'if 1 then commit; end if', 'case 1 when 1 then commit; end case', 'repeat commit; until 1 end repeat', 'for i in 1..1 do truncate t; end for',
    'a: loop leave a; end loop', '/* c */ while 0 do select 1; end while', 'select 1; if 1 then commit; end if', '/*! commit'
  ]) t.type(commandOf(sql, 'mysql'), 'string', sql)
})

t.test('what is none', async t => {
  for (const dialect of DIALECTS) {
    for (const sql of NONE) t.equal(commandOf(sql, dialect), undefined, `${dialect}: ${sql}`)
  }
  for (const sql of ['rollback to x', 'rollback to savepoint x', 'rollback work to savepoint x', 'rollback transaction to x']) {
    for (const dialect of ['postgresql', 'mysql', 'sqlite'] as const) t.equal(commandOf(sql, dialect), undefined, `${dialect}: ${sql}`)
  }
  for (const body of ['$$ begin commit; end $$', '$x$ begin commit; end; $x$']) {
    t.equal(commandOf(`do ${body}`, 'postgresql'), undefined, body)
    t.equal(commandOf(`create function f() returns void language plpgsql as ${body}; select 1`, 'postgresql'), undefined, body)
  }
  for (const body of [
    'begin commit; end', 'begin update t set a = (case when b then c end); delete from u; commit; end',
    'begin if a then select 1; end if; case b when 1 then select 2; end case; while c do set d = 1; end while; commit; end'
  ]) {
    for (const dialect of ['mysql', 'sqlite', 'unknown'] as const) {
      t.equal(commandOf(`create procedure p() ${body}`, dialect), undefined, body)
      t.equal(commandOf(`create procedure p() ${body}; commit`, dialect), 'commit', `after ${body}`)
    }
  }
  t.equal(commandOf('create procedure p as select 1 commit', 'unknown'), undefined)
  t.equal(commandOf('alter event e on schedule every 1 day do begin commit; end', 'mysql'), undefined)
})

t.test('whatever text a value has, it is no command, and hides none', async t => {
  const dialect = fc.constantFrom(...DIALECTS)
  const text = fc.array(fc.constantFrom("'", '"', ';', 'commit', '--', '/*', '*/', '#', '$$', '\n', ' ', '[', ']', '`'), { maxLength: 10 }).map(parts => parts.join(''))
  const quote = (text: string): string => `'${text.replaceAll("'", "''")}'`
  t.doesNotThrow(() => fc.assert(fc.property(dialect, text, (dialect, text) => commandOf(`insert into t values (${quote(text)}); select 1`, dialect) === undefined), { numRuns: 2000 }))
  t.doesNotThrow(() => fc.assert(fc.property(dialect, text, (dialect, text) => commandOf(`insert into t values (${quote(text)}); commit`, dialect) === 'commit'), { numRuns: 2000 }))
})
