import Database from 'better-sqlite3'
import t from 'tap'
import * as mysql from '../../lib/drivers/mysql/functions.ts'
import * as postgresql from '../../lib/drivers/postgresql/functions.ts'
import * as sqlite from '../../lib/drivers/sqlite/functions.ts'
import { onMariadb, onPostgres, onSqlite } from '../support/databases.ts'

/** In PostgreSQL's grammar, so that no function of a user's can take their place. */
const SYNTAX = ['grouping', 'coalesce', 'nullif', 'greatest', 'least', 'trim', 'current_time', 'current_timestamp', 'localtime', 'localtimestamp']
/** Another value every time, and nothing else. */
const VOLATILE = ['random', 'clock_timestamp', 'gen_random_uuid']

onPostgres('every function in PostgreSQL\'s list is its own, and changes nothing', async (t, { observe }) => {
  const rows = await observe("select proname, bool_or(provolatile = 'v') as volatile from pg_proc where pronamespace = 'pg_catalog'::regnamespace group by proname")
  const volatile = new Map(rows.map(row => [row.proname, row.volatile]))
  for (const name of postgresql.functions) {
    if (SYNTAX.includes(name)) t.notOk(volatile.has(name), `${name} is no function`)
    else t.equal(volatile.get(name), VOLATILE.includes(name), name)
  }
})

onPostgres('every type in PostgreSQL\'s list is its own, and every keyword before a parenthesis can be no function', async (t, { observe }) => {
  for (const type of postgresql.types) t.equal((await observe(`select '${type}'::regtype::oid::int < 16384 as ok`))[0].ok, true, type)
  const rows = await observe('select word, catcode from pg_get_keywords()')
  const code = new Map(rows.map(row => [row.word, row.catcode]))
  for (const word of postgresql.keywordsBeforeParenthesis) t.ok(AFTER_WORDS.includes(word) || ['R', 'C'].includes(code.get(word)!), `${word} ${code.get(word)}`)
})

onSqlite('every function in SQLite\'s list is its own', async (t, { observe }) => {
  const functions = await observe('select name from pragma_function_list where builtin')
  const tables = await observe('select name from pragma_module_list')
  const own = new Set([...functions, ...tables].map(row => row.name))
  own.add('json_each').add('json_tree') // which are in the list only when they have been used
  for (const name of sqlite.functions) t.ok(own.has(name), name)
})

/** Those that count as keywords only after certain words. */
const AFTER_WORDS = ['by', 'over', 'filter', 'join']

t.test('nothing that comes before a parenthesis in SQLite\'s list can be a function of a user\'s', async t => {
  const database = new Database(':memory:')
  t.teardown(() => database.close())
  const called: string[] = []
  for (const name of sqlite.keywordsBeforeParenthesis) {
    database.function(name, { varargs: true }, () => { called.push(name) })
    for (const sql of [`select ${name} (1)`, `select ${name}(1, 2)`]) {
      try {
        database.exec(sql)
      } catch { /* it is no function */ }
    }
  }
  // which operator calls what is called so, if the user has made that
  t.strictSame(called.filter(name => !AFTER_WORDS.includes(name) && name !== 'like'), [])
})

onMariadb('nothing that comes before a parenthesis in MySQL\'s list can be a function of a user\'s', async (t, { observe }) => {
  for (const name of mysql.keywordsBeforeParenthesis) {
    if (!AFTER_WORDS.includes(name)) await t.rejects(observe(`create function ${name}(n int) returns int return 1`), { code: 'ER_PARSE_ERROR' }, name)
  }
})

t.test('the lists have names only, in lower case', async t => {
  for (const { functions, keywordsBeforeParenthesis } of [mysql, postgresql, sqlite]) {
    for (const name of [...functions, ...keywordsBeforeParenthesis]) t.match(name, /^[a-z][a-z0-9_]*$/)
  }
})
