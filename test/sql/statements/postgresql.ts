import pg from 'pg'
import { functions } from '../../../lib/drivers/postgresql/functions.ts'
import { freshDatabase } from '../../support/fresh-database.ts'
import { differences, type Tried, type TriedDatabase, type TriedDialect } from './database.ts'
import { statementsOf } from './grammar.ts'
import { HOSTILE, SELECTS } from './selects.ts'

const statements = statementsOf({
  ...SELECTS,
  known: [...functions],
  hostile: [...HOSTILE, '::dom', "dom 'x'", '.touched', "nextval('s')", 'lower("d" "dom")', 'U&"touched"'],
  book: ['"book" as "b"', '"public"."book" "b"', 'book as b', 'only "book" "b"', '"book" "b"'],
  author: ['"author" as "a"', 'author as a', 'lateral (select * from "author") as "a"'],
  numbers: ['3: "b"."id"', '"b"."price"', '"b" . "id"', 'b.id'],
  texts: ['3: "b"."title"', '"title"', 'b.title'],
  alias: ['x', '"for"', '"into"', '"touch"', 'lower', 'lower·("d" "dom")'],
  type: ['integer', 'numeric(10,2)', 'text', 'double precision', 'character varying(5)', 'dom', '"dom"', 'public.dom', 'text[]'],
  call: [
    'length·(·<text>·)', 'coalesce·(·<number>,·<number>·)', 'abs·(·<number>·)', 'cardinality(array[1,·2])', '("b"."id")·::·int', 'extract·(·year from now()·)::int', 'nullif(·<number>,·<number>·)',
    '(select "x" from json_to_recordset·(·\'[{"x":1}]\'·) as "x"·(x int)·)', 'random()::int', '<number>::numeric(10,2)'
  ],
  textcall: [
    'lower·(·<text>·)', '<text> || <text>', 'substring(·<text> from 1 for 2)', 'substring(·<text>,·1,·2·)', 'concat·(·<text>,·<number>·)', "format(·'%s',·<text>·)", '<text>·::·text', "'{\"a\":1}'::jsonb ->> 'a'", 'upper·(·"title"·)',
    "(array['a',·'b'])[1]", 'to_char(·now(),·\'YYYY\'·)', "date '2026-01-01'::text", '<text> collate "C"'
  ],
  writer: [
    "nextval·('s')", "setval·('s',·7)", 'touch·(·<number>·)', 'public . touch·(1)', '"touch"·(1)', '"public"."touch"(1)', 'pg_try_advisory_lock(1)::int', 'txid_current()', 'lo_create·(0)::int', '(select d from x as lower(d))',
    'length·(b.touched)', 'length·(lower·(b))', 'length·(lower·(b.*))', "length·('x'·::·dom)", "(select 1 from json_to_recordset·('[{\"d\":\"x\"}]') as lower·(\"d\" \"dom\"))", "json_array_length(query_to_json('insert into log values (1)'))",
    "(select 1 from jsonb_to_recordset('[{\"d\":\"x\"}]') count·(\"d\" \"dom\"))", "(select 1 from jsonb_to_recordset('[{\"d\":\"x\"}]') as \"x\"(\"d\" \"dom\"))"
  ],
  textwriter: [
    "set_config·('app.user',·'x',·false)", '(b).touched', 'b.touched', '(b)."touched"', "'x'::dom", "'x'·::·public.dom", "cast·('x' as dom)", "cast(cast('x' as text) as dom)", "dom 'x'", "\"dom\" 'x'", "lower('x'::\"dom\")",
    "array_to_string(array['x']::dom[],·'')", 'concat·(touch(1))', "query_to_xml('select touch(1)',·true,·true,·'')::text", "json_array('x' returning dom)"
  ],
  lock: ['for update', 'for no key update', 'for share', 'for key share skip locked', 'for update of "b" nowait'],
  writingfrom: ['touch·(1)', 'public.touch(1) as "b"', 'generate_series·(1,·3) as "b"·("id")', "rows from·(json_to_recordset('[{\"d\":\"x\"}]') as (\"d\" \"dom\")) as \"b\"", "unnest(array['x'])·as count·(\"d\")", 'book tablesample system·(50) as b'],
  cte: [
    'x as·(·<select>·) <select>', "x as·(insert into log values ('x') returning *) select * from x", 'x as materialized·(update book set title = title returning *) <select>', 'x as·(·<select>·) delete from book',
    'recursive x·(n) as·(select 1 union select n from x) select * from x'
  ],
  write: [
    "insert into log values ('x')", 'insert into "log" select <text> from <from>', 'update book set title = <text> where <condition>', 'delete from book where <condition> returning *', 'create table t·(a int)', 'create temp table t as <select>',
    'truncate book', "set app.user = 'x'", 'commit', 'lock table book', 'select * into t from book', 'select <items> into temp t from <from>', 'do $$ begin perform touch(1); end $$', 'merge into book b using author a on true when matched then delete',
    'call touching()', 'prepare q as <select>', 'copy book to stdout', 'declare c cursor for <select>', 'listen x'
  ],
  odd: [
    'values·(1)', 'values·(touch(1))', 'table book', 'table book for update', 'explain <select>', 'explain analyze <write>', 'explain·(analyze) <select>', '/* x */ <select>', '·/*·select 1 */ <write>', 'select·<write>', '/* /* x */ */ <select>', '(<select>)', 'select'
  ]
})

/** All that a transaction of PostgreSQL's says of itself; the sequence is not part of it. */
const STATE = `
  select pg_current_xact_id_if_assigned() is not null as "transaction id", current_setting('app.mark', true) as transaction, current_setting('app.user', true) as setting,
    (select sum(n_tup_ins + n_tup_upd + n_tup_del) from pg_stat_xact_user_tables) as rows, (select sum(calls) from pg_stat_xact_user_functions where schemaname <> 'pg_catalog') as calls, (select last_value::text || is_called from s) as sequence,
    (select count(*) from pg_locks where pid = pg_backend_pid() and (locktype = 'advisory' or locktype = 'relation' and mode <> 'AccessShareLock')) as locks,
    (select count(*) from pg_prepared_statements where name <> 'state') as prepared, (select count(*) from pg_cursors) as cursors, (select count(*) from pg_listening_channels()) as channels`

const SETUP = `
  create table book (id int primary key, title text, price numeric, author_id int);
  create table author (author int primary key, name text);
  create table log (x text);
  insert into author values (1, 'Jane'), (2, 'Emily');
  insert into book values (1, 'Emma', 9.5, 1), (2, 'Persuasion', 8, 1), (3, 'x', 7, 2);
  create sequence s;
  create function touch(n numeric) returns int language plpgsql as $$ begin insert into log values ('touch'); return n; end $$;
  create function touched(b book) returns text language plpgsql as $$ begin insert into log values ('touched'); return 'x'; end $$;
  create function lower(b book) returns text language plpgsql as $$ begin insert into log values ('lower'); return 'x'; end $$;
  create procedure touching() language plpgsql as $$ begin insert into log values ('touching'); end $$;
  create domain dom as text check (touch(1) = 1);`

async function open (): Promise<TriedDatabase> {
  const { url, query } = await freshDatabase()
  await query(SETUP)
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query("set statement_timeout = '2s'; set track_functions = 'all'; set client_min_messages = error")
  const state = async (): Promise<State> => (await client.query({ name: 'state', text: STATE })).rows[0]
  const startAgain = (): Promise<unknown> => client.query(`
    rollback; select pg_advisory_unlock_all(); close all; unlisten *;
    begin; set local app.mark = 'on'`)
  await startAgain()
  let before: State | undefined
  return {
    async try (sql): Promise<Tried> {
      before ??= await state()
      const isRefused = await client.query(sql).then(() => false, () => true)
      if (isRefused) await startAgain()
      const after = await state()
      const changes = isRefused ? differences(kept(before), kept(after)) : differences(before, after)
      if (!isRefused) await startAgain()
      if (changes.length > 0) before = undefined
      return { isRefused, changes }
    },
    async close () { await client.end() }
  }
}

type State = Record<'sequence' | 'setting' | 'locks', unknown>

/** What no rollback takes back. */
function kept ({ sequence, setting, locks }: State): object {
  return { sequence, setting, locks }
}

export const postgresql: TriedDialect = {
  statements,
  open,
  writes: [
    "insert into log values ('x')", 'select touch(1)', "select nextval('s')", 'select pg_advisory_lock(1)', "select set_config('app.user', 'x', false)", 'select * from book for share', "select 'x'::dom", 'select b.touched from book b',
    'select lower(b) from book b', 'select * into t from book', 'select lo_create(0)', 'commit', 'lock table book', 'select txid_current()', 'prepare q as select 1'
  ]
}
