import t from 'tap'
import * as mysql from '../../lib/drivers/mysql/functions.ts'
import * as postgresql from '../../lib/drivers/postgresql/functions.ts'
import * as sqlite from '../../lib/drivers/sqlite/functions.ts'
import { onPostgres, onSqlite } from '../support/databases.ts'

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
  const afterWords = ['by', 'over', 'filter', 'join'] // which count as keywords only after certain words
  for (const word of postgresql.keywordsBeforeParenthesis) t.ok(afterWords.includes(word) || ['R', 'C'].includes(code.get(word)!), `${word} ${code.get(word)}`)
})

onSqlite('every function in SQLite\'s list is its own', async (t, { observe }) => {
  const functions = await observe('select name from pragma_function_list where builtin')
  const tables = await observe('select name from pragma_module_list')
  const own = new Set([...functions, ...tables].map(row => row.name))
  own.add('json_each').add('json_tree') // which are in the list only when they have been used
  for (const name of sqlite.functions) t.ok(own.has(name), name)
})

t.test('the lists have names only, in lower case', async t => {
  for (const { functions, keywordsBeforeParenthesis } of [mysql, postgresql, sqlite]) {
    for (const name of [...functions, ...keywordsBeforeParenthesis]) t.match(name, /^[a-z][a-z0-9_]*$/)
  }
})
