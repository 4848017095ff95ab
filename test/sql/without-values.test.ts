import t from 'tap'
import type { Dialect } from '../../lib/drivers/dialect.ts'
import { withoutValues } from '../../lib/sql/without-values.ts'

const CASES: [Dialect, sql: string, shown: string][] = [
  ['sqlite', "insert into `book` (`title`, `stock`) values ('Emma''s', 3), ('x', null)", 'insert into `book` (`title`, `stock`) values (?)'],
  ['postgresql', 'select "b0".* from "book" as "b0" where "b0"."id" in (1, 2, 3) limit 1', 'select "b0".* from "book" as "b0" where "b0"."id" in (?) limit ?'],
  ['postgresql', "update t set a = -1.5e3, b = 0xff, c = e'it\\'s', d = 1", 'update t set a = -?, b = ?, c = e …'],
  ['postgresql', "select * from t where a = 'a\\'b' and c = 'secret'", 'select * from t where a = …'],
  ['postgresql', 'select $tag$secret$tag$', 'select …'],
  ['postgresql', 'select $1, now() /* secret */ from t -- secret', 'select ?, now() from t'],
  ['mysql', 'select `a` from `t` where `b` = "secret" # secret', 'select `a` from `t` where `b` = ?'],
  ['mysql', "select 'it\\'s secret'", 'select …'],
  ['sqlite', "update t set a = 'secret", 'update t set a = …'],
  ['sqlite', "x'secret'", 'x …'],
  ['unknown', "select 'secret', 1", 'select ?, ?'],
  ['sqlite', 'select 9,\t89\rfrom t', 'select ?, ? from t'],
  ['sqlite', 'insert into t values (1,2),(3,4),(5,6)', 'insert into t values (?)'],
  ['sqlite', 'insert into t values (1, 2), (3, 4), (5, 6)', 'insert into t values (?)'],
  ['sqlite', 'insert into t values (1), (2), (3)', 'insert into t values (?)'],
  ['sqlite', '$secret', '…'],
  ['sqlite', '', '']
]

t.test('statements are shown without their values', async t => {
  for (const [dialect, sql, shown] of CASES) t.equal(withoutValues(sql, dialect), shown, sql)
})

t.test('statements that differ in their values only are shown as the same', async t => {
  t.equal(withoutValues('select * from t where id in (1)', 'sqlite'), withoutValues('select * from t where id in (2, 3, 4)', 'sqlite'))
  t.equal(withoutValues("insert into t values (1, 'a')", 'sqlite'), withoutValues("insert into t values (2, 'b'), (3, null)", 'sqlite'))
})
