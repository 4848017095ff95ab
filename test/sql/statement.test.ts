import t from 'tap'
import { endsATransaction, isModification, shorten } from '../../lib/sql/statement.ts'

t.test('what is plainly a write, or would allow writes again', async t => {
  for (const sql of [
    'insert into t values (1)', 'UPDATE t set a = 1', ' \n\tdelete from t', 'merge into t', 'replace into t values (1)', 'truncate t', 'create table t (a int)', 'alter table t', 'drop table t',
    'set transaction read write', 'SET  session characteristics as transaction read \n write', 'set x = 1,\ntransaction_read_only = off', 'reset transaction_read_only', '\n pragma query_only = off', 'pragma\tquery_only(0)'
  ]) t.equal(isModification(sql), true, sql)
  for (const sql of [
    '', 'select 1', 'inserted', 'updates', 'select 1; delete from t', 'explain insert into t values (1)', 'x insert', 'insert_all', 'with x as (select 1) select 1', 'set a = 1', 'settings query_only', 'pragma user_version', 'set transaction read only',
    'reset all', 'set x = readwrite', 'set a = thread_writer', 'select query_only', 'xset query_only', 'x set query_only', 'pragma query_only_please'
  ]) t.equal(isModification(sql), false, sql)
})

t.test('a statement is shortened for messages: one line, without its values', async t => {
  const CASES: Array<[sql: string, shown: string]> = [
    ['', ''],
    ['  select\n\t 1  ', 'select 1'],
    ["select 'a', 'b c', 'it''s' from t", "select '…', '…', '…''…' from t"],
    ["select 'never ends", "select '…'"],
    ["insert into t (a) values ('secret')", 'insert into t (a) …'],
    ['update t SET a = 1', 'update t …'],
    ['delete from t where a = 1 and b = 2', 'delete from t …'],
    ['select valuesof, offset from t', 'select valuesof, offset from t'],
    [`select ${'a'.repeat(53)}`, `select ${'a'.repeat(53)}`],
    [`select ${'a'.repeat(54)}`, `select ${'a'.repeat(53)}…`]
  ]
  for (const [sql, shown] of CASES) t.equal(shorten(sql), shown, sql)
})

t.test('whether a statement ends a transaction, on a database that is not known', async t => {
  t.equal(endsATransaction('commit'), true)
  t.equal(endsATransaction('select 1 commit'), true)
  t.equal(endsATransaction('select 1'), false)
})
