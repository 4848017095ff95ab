import fc from 'fast-check'
import t from 'tap'
import type { Dialect } from '../../lib/drivers/dialect.ts'
import { isRead } from '../../lib/sql/is-read.ts'
import { isSimpleSelect } from '../../lib/sql/simple-select.ts'

const DIALECTS: Dialect[] = ['postgresql', 'mysql', 'sqlite', 'unknown']

/** Where it is a read; elsewhere it is none. */
const READS: Record<string, Array<readonly [sql: string, ...where: Dialect[]]>> = {
  'of MikroORM, on SQLite and MySQL': [
    ['select `b0`.* from `book` as `b0` where `b0`.`title` = \'it\'\'s; delete from book\' limit 10', 'mysql', 'sqlite', 'unknown'],
    ['select `b0`.*, `a1`.`id` as `a1__id` from `book` as `b0` left join `author` as `a1` on `b0`.`author_id` = `a1`.`id` where `b0`.`stock` > 3 order by `b0`.`id` asc limit 50 offset 5', 'mysql', 'sqlite', 'unknown'],
    ['select count(*) as `count` from `book` as `b0` where (`b0`.`a` = 1 or `b0`.`b` in (1, 2)) and not (`b0`.`c` is null)', 'mysql', 'sqlite', 'unknown'],
    ['select json_extract(`b0`.`data`, \'$.a.b\') as `x` from `book` as `b0`', 'mysql', 'sqlite'],
    ['select min(`b0`.`id`) from `book` as `b0` where `b0`.`title` regexp \'a\' and `b0`.`data` is not null', 'mysql', 'sqlite']
  ],
  'of MikroORM, on PostgreSQL': [
    ['select "b0".*, "a1"."id" as "a1__id" from "public"."book" as "b0" left join "author" as "a1" on "b0"."author_id" = "a1"."id" where "b0"."title" like \'%m.m%\' and "b0"."x" = -1.5 limit 10', ...DIALECTS],
    ['select "b0"."id" from "book" as "b0" where exists (select 1 from "author" as "a" where "a"."id" = "b0"."author_id")', ...DIALECTS],
    ['select "b0".* from "book" as "b0" where "b0"."tags" && \'{a,b}\' and "b0"."data"#>>\'{a,b}\' = \'x\'', ...DIALECTS],
    ['select "b0".*, count(distinct "a1"."id")::int as "n" from "public"."book" as "b0" group by "b0"."id" having count(*) > 2', 'postgresql', 'unknown'],
    ['select "e0".* from "event" as "e0" where "e0"."at" >= \'2026-01-01T00:00:00.000Z\' order by "e0"."at" desc nulls last', ...DIALECTS],
    ['select "b0"."data"->>\'a\', ("b0"."data"->\'a\'->>\'b\')::float8, "b0"."id"::text from "book" as "b0"', 'postgresql', 'unknown'],
    ['select lower("b0"."title"), coalesce("b0"."a", \'x\') from "book" as "b0" where upper("title") = \'X\'', ...DIALECTS],
    ['select * from (select row_number() over (partition by "b0"."a" order by "b0"."b" asc) as "n" from "book" as "b0") as "x"', ...DIALECTS],
    ['select "b0".* from "book" as "b0" where "b0"."x" @@ plainto_tsquery(\'simple\', \'a\') and $1 = any(array[\'a\'])', 'postgresql']
  ],
  'by hand': [
    ['select a, "b" "c", d e, "f" g from t, "u" "v", w x', ...DIALECTS], ["select abs(date '2026-01-01')", ...DIALECTS], ['select @a', 'postgresql', 'sqlite', 'unknown'], ['select a from t order by (a), b', ...DIALECTS],
    ['select * from (select a b, c d, "e" "f" from t u, v w) x', ...DIALECTS], ['select sum("a") over (order by "b" rows between unbounded preceding and current row) from t', ...DIALECTS], ['select a from (select 1) x, (select 2) y limit 1 offset 2', ...DIALECTS],
    ['select 1', ...DIALECTS], ['  SELECT 1 ; ', ...DIALECTS], ['select\n1', ...DIALECTS], ['/* by a tool */ select 1', ...DIALECTS], ['select 1 -- done\n from t', ...DIALECTS],
    ['select 1; -- done', ...DIALECTS], ['select "for", "update", "into" from "delete"', ...DIALECTS], ['select created_at, forename, lockable from t', ...DIALECTS],
    ['select case when (a) then (b) else (c) end from t', ...DIALECTS], ["select 'a\\\\' from t", ...DIALECTS], ['select 1 where $1 = $2', ...DIALECTS], ['select - (1), 1.5, .5', ...DIALECTS],
    ['select replace("a", \'x\', \'y\'), now() from t', 'postgresql', 'mysql'], ['select count(*), t.* from t', ...DIALECTS],
    ['select (select max("x") from "t" where "x" is not null) + (1)', ...DIALECTS], ['select coalesce((select "x" from "t" limit 1), 0)', ...DIALECTS],
    ['select sum("x") filter (where y > 1) from t', 'postgresql', 'sqlite'], ['select a from t join u using (id)', ...DIALECTS], ['select a from t left join (select 1) u on true', ...DIALECTS],
    ['select extract(year from at), date_trunc(\'day\', at at time zone \'utc\'), now() from t', 'postgresql'],
    ['select 1 # a comment to the end, or an operator', ...DIALECTS], ['select 1 # a\n + 2', 'postgresql', 'mysql', 'sqlite'],
    ['select [title] from [book] where [a].[b] = 1', 'mysql', 'sqlite', 'unknown'], ["select 1 from t[it's], [x's]", 'sqlite'], ['select lower([a].[b])', 'mysql', 'sqlite', 'unknown'],
    ['select array[1, 2], x[1], x[2:3], a::text, x::int[], y::numeric(10,2), z::character varying(5) from t', 'postgresql', 'unknown'],
    ['select cast(a as numeric(10,2)) from t', ...DIALECTS], ['select cast(b as double precision) from t', 'mysql', 'sqlite'], ['select cast(a as signed)', 'mysql', 'sqlite'],
    ["select date '2026-01-01', interval '1 day', :a", ...DIALECTS], ["select 'a' 'b'", ...DIALECTS], ['select year(at), quote(a) from t', 'mysql'], ['select likely(1)']
  ],
  'names that are called, with something before the parenthesis': [
    ['select trim (a), cast (a as signed) from t', 'sqlite'], ['select cast (a as char) from t', 'postgresql', 'sqlite', 'unknown'], ['select count/**/(*) from t', 'postgresql', 'sqlite', 'unknown']
  ],
  'text that dialects read differently': [
    ['select /* a /* b */ into c */ 1', 'postgresql'], ['select /*! into x */ 1', 'postgresql'], ['select /*M! into x */ 1', 'postgresql'], ['select 1--1 into x', 'postgresql', 'sqlite'],
    ['select [a--b] into t', 'postgresql'], ['select 1 -- a\r into x', 'mysql', 'sqlite'], ["select 1 # '\n, f(1) -- '", 'postgresql', 'sqlite'], ['select [a--b] from t', 'postgresql', 'mysql', 'sqlite'], ['select 1 as [a/*] delete from book select 2 as [*/]', 'postgresql', 'mysql'], ['select [a into']
  ]
}

const WRITES = {
  'statements that are none': ['', ' ', ';', 'selecty', 'selected from t', '-- select 1'],
  'other statements': [
    'insert into t values (1)', 'update t set a = 1', 'delete from t', 'with x as (select 1) select * from x', 'explain select 1', 'show tables',
    'pragma foreign_keys = off', 'begin', 'commit', 'set x = 1', '(select 1)', 'values (1)', 'table t', 'call p()', 'do 1',
    'with x as (delete from t returning *) select * from x'
  ],
  'locking clauses': [
    'select * from t for update', 'select * from t for no key update', 'select * from t FOR SHARE', 'select * from t for update skip locked',
    'select * from t lock in share mode', 'select * from t limit 1for update', 'select * from t with (updlock)'
  ],
  'selects that write rows': ['select * into x from t', "select 1 into outfile 'x'", 'select 1 into @x'],
  'several statements': [
    'select 1; delete from t', 'select 1;;', 'select 1; select 2', 'select 1 delete from t', 'select 1 exec p', 'select 1; /* c */ delete from t',
    'select 1 -- c\n; delete from t', 'select [a;b]; delete from t', "select [a']; delete from t --']"
  ],
  'functions that may do anything': [
    "select nextval('s')", "select setval('s', 1)", 'select my_function(1)', 'select my_function (1)', 'select my_function\n\n(1)',
    'select my_function/**/(1)', 'select my_function -- c\n(1)', 'select app.lower(1)', 'select app . lower(1)', 'select app./**/lower(1)',
    'select "app".lower(1)', 'select "my_function"(1)', 'select "f" (1)', 'select "lower"(1)', 'select a."f" (1)', 'select pg_advisory_xact_lock(1)',
    "select set_config('a', 'b', true)", 'select app/* . */./* */lower(1)', "select log('x')", 'select next (1)', 'select last_insert_rowid()', 'select last_insert_id()', 'select pg_sleep(1)', 'select été(1)',
    'select over(1)', 'select 1, filter (1)', 'select by (1)', 'select join (1)', 'select any_value(1)', 'select similarity(1)', "select 1 from 'f'(1)", "select * from 'f'(1)", "select * from t, 'f' (1)"
  ],
  'text that dialects read differently': [
    "select 'it\\'s into'", "select E'a\\'; delete'", "select e'into a'", "select N'into a'", "select U&'into a'", 'select "a\\"b into"', 'select $$into$$', 'select $x$into$x$', "select e'a'", 'select $a',
    'select 1 # a\n into outfile', '/*! insert into t values (1) */ select 1', "select [it's], x into [y's] from t", "select 1 from t[it's], into [x's]", 'select @a := 1', 'select @a:=1',
    'select [a into'
  ],
  'unfinished text': ["select 'into", 'select "into', 'select `into', 'select /* into', "select 'into''", "select 'a", 'select /* a', 'select /*! a', "select 'a\\"]
}

/** On PostgreSQL (and so of an unknown database); on others they are harmless. */
const HIDDEN_CALLS = {
  'attribute notation': ['select b.touch from book b', 'select (b).touch from book b', 'select (b)."touch" from book b', 'select x[1].touch', 'select $1.touch', 'select "b".touch', 'select b /**/ . /**/ touch'],
  'a row as an argument': [
    'select lower(b) from book b', 'select lower((b)) from book b', 'select lower(b.*) from book b', 'select lower("b".*) from book "b"', 'select count(distinct b)', 'select lower(arg => b)',
    'select lower(coalesce(b, null))', "select array_agg(b order by 1), 'x'", 'select lower(\'x\', b)'
  ],
  'what a domain checks': [
    "select 'x'::dom", "select cast('x' as dom)", "select dom 'x'", "select dom'x'", 'select "dom" \'x\'', "select 'x'::\"dom\"", "select 'x'::text.\"dom\"", "select cast('x' as public.dom)", 'select cast((select 1 as x) as dom)',
    "select 'x':: dom", 'select json_array(1 returning dom)'
  ],
  'what a domain checks in the columns of rows': [
    "select * from json_to_recordset('[]') as (d dom)", "select * from json_to_recordset('[]') as (\"d\" \"dom\")", "select * from json_to_recordset('[]') as (\"d\" text, \"e\" \"dom\")", 'select * from rows from (json_to_recordset(\'[]\') as ("d" "dom"))',
    "select * from json_to_recordset('[]') as lower(\"d\" \"dom\")", "select * from json_to_recordset('[]') lower (\"d\" \"dom\")", "select * from json_to_recordset('[]') as row(d dom)", "select * from json_to_recordset('[]') over (d public.\"dom\")",
    "select (select 1 from json_to_recordset('[]') as (d dom))", "select * from json_to_recordset('[]') as (first dom)", "select * from json_to_recordset('[]') over (first text, e dom)"
  ]
}

for (const [group, statements] of Object.entries(READS)) {
  t.test(`reads: ${group}`, async t => {
    for (const [sql, ...where] of statements) {
      for (const dialect of DIALECTS) t.equal(isRead(sql, dialect), where.includes(dialect), `${dialect}: ${sql}`)
    }
  })
}

for (const [group, statements] of Object.entries(WRITES)) {
  t.test(`writes: ${group}`, async t => {
    for (const dialect of DIALECTS) {
      for (const sql of statements) t.equal(isRead(sql, dialect), false, `${dialect}: ${sql || '(nothing)'}`)
    }
  })
}

for (const [group, statements] of Object.entries(HIDDEN_CALLS)) {
  t.test(`calls of functions that PostgreSQL hides: ${group}`, async t => {
    for (const dialect of ['postgresql', 'unknown'] as const) {
      for (const sql of statements) t.equal(isRead(sql, dialect), false, `${dialect}: ${sql}`)
    }
  })
}

t.test('of a database that is not known, only what every dialect has', async t => {
  t.equal(isRead('select quote("a")'), false)
  t.equal(isRead('select lower("a")'), true)
})

t.test('names that write when they are read, in whatever quotes', async t => {
  for (const name of ['s.nextval', '`s`.`nextval`', '"s"."NEXTVAL"', 's./**/NextVal', '[s].[nextval]']) {
    for (const dialect of ['mysql', 'unknown'] as const) t.equal(isRead(`select ${name} from t`, dialect), false, `${dialect}: ${name}`)
  }
  for (const name of ['pragma_optimize', '`pragma_optimize`', '"PRAGMA_optimize"', "'pragma_optimize'", '[pragma_optimize]', 'main.pragma_optimize']) {
    for (const dialect of ['sqlite', 'unknown'] as const) t.equal(isRead(`select * from ${name}`, dialect), false, `${dialect}: ${name}`)
  }
})

const dialect = fc.constantFrom(...DIALECTS)
const value = fc.string({ unit: 'grapheme' })
const quote = (text: string): string => `'${text.replaceAll("'", "''")}'`
const check = (property: fc.IProperty<any>): void => fc.assert(property, { numRuns: 500 })

t.test('whatever text a value has, a read with that value stays a read or becomes a write by mistake, never the reverse', async t => {
  t.doesNotThrow(() => check(fc.property(dialect, value, (dialect, text) => isRead(`select * from t where a = ${quote(text)}`, dialect) || text.includes('\\'))))
  t.doesNotThrow(() => check(fc.property(dialect, value, (dialect, text) => !isRead(`update t set a = ${quote(text)}`, dialect))))
  t.doesNotThrow(() => check(fc.property(dialect, value, (dialect, text) => !isRead(`select * from t where a = ${quote(text)} for update`, dialect))))
  t.doesNotThrow(() => check(fc.property(dialect, value, (dialect, text) => !isRead(`select ${quote(text)}; delete from t where a = ${quote(text)}`, dialect))))
  t.doesNotThrow(() => check(fc.property(dialect, value, (dialect, text) => !isRead(`select "${text.replaceAll('"', '""')}" into x from t`, dialect))))
})

t.test('what is appended to a read cannot hide', async t => {
  const read = fc.constantFrom(...Object.values(READS).flatMap(statements => statements.flatMap(([sql, ...where]) => where.map(dialect => ({ sql, dialect })))).filter(({ sql }) => !/[;#]|--/.test(sql)))
  const writes = fc.constantFrom('; delete from t', ' for update', ' into x', ' union select nextval(1)', " where f('a')", ' exec p')
  t.doesNotThrow(() => check(fc.property(read, writes, ({ sql, dialect }, write) => !isRead(sql + write, dialect))))
  t.doesNotThrow(() => check(fc.property(read, value, writes, ({ sql, dialect }, text, write) => !isRead(`${sql} /* ${text.replaceAll(/[*/!]/g, '')} */ ${write}`, dialect))))
})

t.test('white space and case change nothing', async t => {
  const spaces = fc.constantFrom(' ', '\n', '\t', '\r\n  ')
  const read = fc.constantFrom('select "a"."b" from "t" where "x" in (1, 2) order by lower("a") asc', 'select count(*) from t left join (select 1) u on true')
  t.doesNotThrow(() => check(fc.property(dialect, read, spaces, (dialect, sql, space) => isRead(sql.replaceAll(' ', space).toUpperCase(), dialect))))
})

t.test('the short way for simple selects says nothing that the long one would not say', async t => {
  const parts = fc.array(fc.constantFrom(
    '"a"', '"a"."b"', '"a".*', '`a`', '`a`.`b`', "'x'", "'it''s'", "'", '"', '`', '1', '.5', '-', '--', '$1', '(', ')', ',', '.', '*', '=', '!', ' ', ' ', ' ', '\n', '\\', ':', '::', '[', ']', 'f', 'dom', 'from', 'as', 'in', 'left',
    'like', 'count(*)', 'select', 'for', 'first', 'by', 'null', ';', '#', '/*', '*/', 'e', 'cast'
  ), { maxLength: 12 })
  let simple = 0
  const property = fc.property(dialect, parts, (dialect, parts) => {
    const sql = `select ${parts.join('')}`
    if (!isSimpleSelect(sql, dialect)) return true
    simple++
    return isRead(`${sql} /**/`, dialect)
  })
  t.doesNotThrow(() => fc.assert(property, { numRuns: 40_000 }))
  t.ok(simple > 100, `${simple} of them are simple`)
})
