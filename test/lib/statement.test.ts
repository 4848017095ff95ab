import fc from 'fast-check'
import t from 'tap'
import { isRead } from '../../lib/statement.ts'

const READS = {
  'MikroORM on SQLite and MySQL': [
    'select `b0`.* from `book` as `b0` where `b0`.`title` = \'it\'\'s; delete from book\' limit 10',
    'select `b0`.*, `a1`.`id` as `a1__id` from `book` as `b0` left join `author` as `a1` on `b0`.`author_id` = `a1`.`id` where `b0`.`stock` > 3 order by `b0`.`id` asc limit 50 offset 5',
    'select count(*) as `count` from `book` as `b0` where (`b0`.`a` = 1 or `b0`.`b` in (1, 2)) and not (`b0`.`c` is null)',
    'select `b0`.`id` from `book` as `b0` where exists (select 1 from `author` as `a` where `a`.`id` = `b0`.`author_id`)',
    'select json_extract(`b0`.`data`, \'$.a.b\') as `x` from `book` as `b0`'
  ],
  'MikroORM on PostgreSQL': [
    'select "b0".* from "book" as "b0" where "b0"."tags" && \'{a,b}\' and "b0"."data"#>>\'{a,b}\' = \'x\'',
    'select "b0".*, count(distinct "a1"."id")::int as "n" from "public"."book" as "b0" group by "b0"."id" having count(*) > 2',
    'select "e0".* from "event" as "e0" where "e0"."at" >= \'2026-01-01T00:00:00.000Z\' order by "e0"."at" desc nulls last',
    'select array[1, 2], x[1], x[2:3], a::text from t',
    'select 1 where $1 = $2'
  ],
  'by hand': [
    'select 1', '  SELECT 1 ; ', 'select\n1', '/* sent by a tool */ select 1', 'select 1 -- done', 'select 1 -- done\n from t', 'select 1; -- done',
    'select lower ( x ), coalesce(a, b), cast(x as numeric(10,2)) from t', 'select "for", "update", "into" from "delete"',
    'select sum(x) over (partition by y order by z) from t', 'select sum(x) filter (where y > 1) from t',
    'select case when (a) then (b) else (c) end from t', 'select (select max(x) from t) + (1)',
    'select extract(year from at), current_date, now() from t', "select 'a\\\\' from t", 'select 1 # a comment to the end, or an operator', 'select lower(a) # a comment',
    "select e'a'", "select N'a'", "select U&'a'", 'select "a\\"b"', 'select $$a$$', "select 1 from t[it's], [x's]", 'select [a--b] from t', "select 'a", 'select /* a',
    'select [title] from [book]', 'select - (1)', 'select created_at, forename, intolerance, lockable from t'
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
    'select 1 -- c\n; delete from t'
  ],
  'functions that may do anything': [
    "select nextval('s')", "select setval('s', 1)", 'select my_function(1)', 'select my_function (1)', 'select my_function\n\n(1)',
    'select my_function/**/(1)', 'select my_function -- c\n(1)', 'select app.lower(1)', 'select app . lower(1)', 'select app./**/lower(1)',
    'select "app".lower(1)', 'select "my_function"(1)', 'select `f`(1)', 'select "lower"(1)', 'select a."f" (1)', 'select pg_advisory_xact_lock(1)',
    "select set_config('a', 'b', true)", 'select [f](1)', 'select [app].[f] (1)', 'select app/* . */./* */lower(1)', "select log('x')", 'select next (1)', 'select last_insert_rowid()', 'select last_insert_id()', 'select pg_sleep(1)', 'select été(1)'
  ],
  'text that dialects read differently': [
    "select 'it\\'s into'", "select E'a\\'; delete'", "select e'into a'", "select N'into a'", "select U&'into a'", 'select "a\\"b into"', 'select $$into$$', 'select $x$into$x$',
    'select 1 # a\n into outfile', "select 1 # '\n, f(1) -- '", 'select /*! into x */ 1', '/*! insert into t values (1) */ select 1', 'select /*M! into x */ 1',
    'select /* a /* b */ into c */ 1', 'select 1--1 into x', "select [it's], x into [y's] from t", "select 1 from t[it's], into [x's]", 'select @a := 1', 'select @a:=1', 'select 1 -- a\r into x', 'select 1 -- a\r; delete from t', 'select [a--b] into t', 'select [a into'
  ],
  'unfinished text': ["select 'into", 'select "into', 'select `into', 'select /* into', "select 'into''"]
}

for (const [expected, table] of [[true, READS], [false, WRITES]] as const) {
  for (const [group, statements] of Object.entries(table)) {
    t.test(`${expected ? 'reads' : 'writes'}: ${group}`, async t => {
      for (const sql of statements) t.equal(isRead(sql), expected, sql || '(nothing)')
    })
  }
}

const READ = fc.constantFrom(...Object.values(READS).flat().filter(sql => !/[;#]|--/.test(sql)))
const value = fc.string({ unit: 'grapheme' })

t.test('whatever text a value has, a read with that value stays a read or becomes a write by mistake, never the reverse', async t => {
  const quote = (text: string): string => `'${text.replaceAll("'", "''")}'`
  t.doesNotThrow(() => fc.assert(fc.property(value, text => isRead(`select * from t where a = ${quote(text)}`) || text.includes('\\'))))
  t.doesNotThrow(() => fc.assert(fc.property(value, text => !isRead(`update t set a = ${quote(text)}`))))
  t.doesNotThrow(() => fc.assert(fc.property(value, text => !isRead(`select * from t where a = ${quote(text)} for update`))))
  t.doesNotThrow(() => fc.assert(fc.property(value, text => !isRead(`select ${quote(text)}; delete from t where a = ${quote(text)}`))))
  t.doesNotThrow(() => fc.assert(fc.property(value, text => !isRead(`select "${text.replaceAll('"', '""')}" into x from t`))))
})

t.test('what is appended to a read cannot hide', async t => {
  const writes = fc.constantFrom('; delete from t', ' for update', ' into x', ' union select nextval(1)', " where f('a')", ' exec p')
  t.doesNotThrow(() => fc.assert(fc.property(READ, writes, (read, write) => !isRead(read + write))))
  t.doesNotThrow(() => fc.assert(fc.property(READ, value, writes, (read, text, write) => !isRead(`${read} /* ${text.replaceAll(/[*/]/g, '')} */ ${write}`))))
})

t.test('white space and case change nothing', async t => {
  t.doesNotThrow(() => fc.assert(fc.property(READ, fc.constantFrom(' ', '\n', '\t', '\r\n  '), (read, space) => {
    return isRead(read.replaceAll(' ', space).replaceAll(/'[^']*'/g, "''").toUpperCase())
  })))
})

t.test('the answer is the same as before, after however many other statements', async t => {
  for (let time = 0; time < 2; time++) {
    for (let i = 0; i < 1200; i++) {
      if (isRead(`select ${i}`) && !isRead(`select f(${i})`) && !isRead(`delete from t where a = ${i}`)) continue
      t.fail(`select ${i}`)
    }
  }
  for (let time = 0; time < 2; time++) t.equal(isRead(`select '${'a'.repeat(2000)}'`), true, 'nor does its length matter')
})

t.test('a statement of more than a million characters is not looked at', async t => {
  t.equal(isRead(`select '${'a'.repeat(900_000)}'`), true)
  t.equal(isRead(`select '${'a'.repeat(10_000_000)}'`), false)
})

t.test('a long statement takes no time that anybody would notice', async t => {
  const long = `select ${Array.from({ length: 20_000 }, (_, i) => `"c${i}" + abs(${i}) + 'x'`).join(', ')} from t`
  const start = performance.now()
  t.equal(isRead(long), true)
  for (const text of ["'", '"', '/*', '--', '/* * ', "''\\"]) t.equal(isRead(`select ${text.repeat(20_000)}; delete from t`), false)
  t.ok(performance.now() - start < 5_000, 'not the square of its length, that is')
})
