/**
 * Is a statement provably a read?
 *
 * A deferred transaction sends reads to the pool in autocommit and begins with the first statement that is not one.
 * The two mistakes are not alike: a read taken for a write costs two round trips, a write taken for a read would be
 * committed behind the context's back. So everything that is not understood here is a write, and where dialects read
 * the same characters in two ways (a backslash before a quote, `#`, `--`, brackets), so is whatever only one of them
 * would call a read.
 *
 * What no reader of the text can see: a view, a rule or an operator whose own definition calls a function that
 * writes. Routes that select from one want `transaction: 'on-query'`.
 */
export function isRead (sql: string): boolean {
  if (sql.length > MAX_LENGTH || !beginsWithSelect(sql)) return false
  return !MAY_WRITE.test(sql) || isKnownToBeUnderstood(sql)
}

/**
 * To read a statement word by word takes ten times as long as to look it up. That is for the few that need it: MikroORM
 * 7.2.1 writes values into the SQL of all its own, of which there are more than could be remembered.
 */
function isKnownToBeUnderstood (sql: string): boolean {
  if (sql.length > MAX_REMEMBERED_LENGTH) return isUnderstood(sql)
  const known = remembered.get(sql)
  if (known !== undefined) return known
  if (remembered.size === MAX_REMEMBERED) remembered.clear()
  const result = isUnderstood(sql)
  remembered.set(sql, result)
  return result
}

const remembered = new Map<string, boolean>()
const MAX_REMEMBERED = 500
const MAX_REMEMBERED_LENGTH = 1000

/** For statements that say somewhere, if only in a string, what could write. */
function isUnderstood (sql: string): boolean {
  let name = '' // what an opening parenthesis would call
  let isQualified = false // a function that is named with its schema is the user's own, whatever its name
  let nameEnd = -1
  let dotEnd = -1
  let finished = false
  TOKEN.lastIndex = 0
  for (let match = TOKEN.exec(sql); match !== null; match = TOKEN.exec(sql)) {
    const token = match[0]
    const { index } = match
    switch (token[0]) {
      case '(':
        if (nameEnd !== -1 && isBlank(sql, nameEnd, index)) {
          if (!KEYWORDS_BEFORE_A_PARENTHESIS.has(name) && !PURE_FUNCTIONS.has(name)) return false
          if (isQualified) return false
        }
        nameEnd = -1
        break
      case '/':
      case '-':
        if (token.length === 2) return false // a comment that only some dialects see, nested, unfinished or executed
        if (nameEnd !== -1 && isBlank(sql, nameEnd, index)) nameEnd = TOKEN.lastIndex
        if (dotEnd !== -1 && isBlank(sql, dotEnd, index)) dotEnd = TOKEN.lastIndex
        continue // also after the end of the statement
      case ';':
        if (finished) return false
        finished = true
        continue
      case '#':
        // a comment to the end of the line in MySQL, an operator in PostgreSQL: on the last line both are harmless
        if (sql.includes('\n', index)) return false
        break
      case ':':
        return false // assigns a variable of the session in MySQL
      case '.':
        dotEnd = TOKEN.lastIndex
        break
      case ']':
        name = QUOTED
        nameEnd = TOKEN.lastIndex
        break
      case '[':
        if (mayQuoteAName(sql, index)) return false
        break
      case "'":
      case '"':
      case '`':
        if (token.length === 1) return false // unfinished, or finished elsewhere in another dialect
        name = QUOTED
        nameEnd = TOKEN.lastIndex
        break
      case '$':
        if (token.length === 1) return false // may open a dollar-quoted string
        break
      default:
        name = token.toLowerCase()
        nameEnd = TOKEN.lastIndex
        if (WRITING_WORDS.has(name) || opensAPrefixedString(sql, nameEnd)) return false
        isQualified = dotEnd !== -1 && isBlank(sql, dotEnd, index)
    }
    if (token !== '.') dotEnd = -1
    if (finished) return false
  }
  return true
}

/** Without a promise: a `select` may lock, or call what writes. */
export function beginsWithSelect (sql: string): boolean {
  return sql.startsWith('select ') || BEGINS_WITH_SELECT.test(sql) // the first is all that it takes for MikroORM's own
}

/**
 * Plainly a write: what a context that is `readOnly` refuses by itself. Not the opposite of `isRead()`: what is neither
 * runs in a read-only transaction, and it is the database that refuses it.
 */
export function isModification (sql: string): boolean {
  return /^\s*(?:insert|update|delete|merge|replace|truncate|create|alter|drop)\b/i.test(sql)
}

/** Ends or begins a transaction, alone or among other statements. What is in quotes, a function's body too, is no matter. */
export function endsATransaction (sql: string): boolean {
  return MAY_END_A_TRANSACTION.test(sql) && TRANSACTION_COMMAND.test(withoutQuotesAndComments(sql))
}

const MAY_END_A_TRANSACTION = /\b(?:begin|start|commit|rollback|abort|prepare|end)\b/i
const TRANSACTION_COMMAND = /^\s*end\b|(?:^|;)\s*(?:begin|start\s+transaction|commit|rollback(?!\s+(?:(?:work|transaction)\s+)?to\b)|abort|prepare\s+transaction)\b/i

/** As PostgreSQL and SQLite read them; comments may lie in one another in PostgreSQL. */
function withoutQuotesAndComments (sql: string): string {
  let rest = sql.replaceAll(/(?<!\w)e'(?:[^'\\]|''|\\[^])*'|'(?:[^']|'')*'|"(?:[^"]|"")*"|\$(\w*)\$[^]*?\$\1\$|--[^\n]*/gi, text => text.startsWith('--') ? ' ' : "''")
  for (let before = ''; before !== rest;) {
    before = rest
    rest = rest.replaceAll(/\/\*(?:(?!\/\*|\*\/)[^])*\*\//g, ' ')
  }
  return rest
}

/** Enough of a statement for an error message: to find it in the code by, and without its values. */
export function shorten (sql: string): string {
  const line = sql.trim().replace(/\s+/g, ' ').replace(/ (?:values|set|where)\b.*/i, ' …').replaceAll(/'[^']*'?/g, "'…'")
  return line.length > SHOWN_CHARACTERS ? `${line.slice(0, SHOWN_CHARACTERS)}…` : line
}

const SHOWN_CHARACTERS = 60

/** Beyond it, V8's regular expressions run out of stack (a string of 9 MB). */
const MAX_LENGTH = 1_000_000

const BEGINS_WITH_SELECT = /^\s*(?:\/\*(?![!M])[^*/]*\*\/\s*)*select\b/i

/** Everything that matters; what lies between two matches (operators, numbers, punctuation) does not. */
const TOKEN = new RegExp([
  /[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*/, // a keyword, a name or a function
  /'(?:[^'\\]|''|\\\\|\\[^'\\])*'/, // a string in which no dialect sees an escaped quote
  /"(?:[^"\\]|""|\\\\|\\[^"\\])*"/, // a quoted name, in MySQL a string
  /`(?:[^`]|``)*`/,
  /\/\*(?![!M])(?:[^*/]|\*(?!\/)|\/(?!\*))*\*\//, // a comment, neither nested nor one that MySQL or MariaDB executes
  /--[ \t][^\n\r]*(?=\r?\n|$)/, // a comment in every dialect only if white space follows
  /\$\d+/, // a placeholder
  /--|\/\*|:=|['"`$#;[\](.]/
].map(token => token.source).join('|'), 'g')

/** Stands for any quoted name: a function of that name, if it is one, may be the user's own. */
const QUOTED = '"'

function isBlank (sql: string, from: number, to: number): boolean {
  return from === to || sql.slice(from, to).trim() === ''
}

/** `E'…'`, `N'…'` and `U&'…'` have escapes of their own. */
function opensAPrefixedString (sql: string, end: number): boolean {
  return sql[end] === "'" || (sql[end] === '&' && sql[end + 1] === "'")
}

/** `[it's]` is a name in SQL Server and SQLite. (`array['a']` is none in PostgreSQL, but `t['a']` would be one.) */
function mayQuoteAName (sql: string, index: number): boolean {
  const end = sql.indexOf(']', index)
  return end === -1 || /['"`#;-]/.test(sql.slice(index, end))
}

function words (list: string): Set<string> {
  return new Set(list.trim().split(/\s+/))
}

/**
 * `for` and `lock` begin a locking clause, `into` writes rows, and SQL Server takes a second statement without a
 * semicolon. Quoted, each of them is a name like any other.
 */
const WRITING_WORDS = words(`
  for lock into with insert update delete merge replace upsert truncate create alter drop grant revoke deny exec execute
  call do set begin commit rollback save savepoint release declare use dbcc backup restore kill shutdown reconfigure
  waitfor print raiserror throw goto while procedure copy vacuum analyze attach detach pragma reindex
`)

/**
 * A call, a second statement, an assignment or a writing word: where there is none of these, quotes and comments can hide
 * none, however they are read. (Nothing but a letter before a word makes it another one: `limit 1for update` locks.)
 */
const MAY_WRITE = new RegExp(`[(;]|:=|(?<![a-z_])(?:${[...WRITING_WORDS].join('|')})\\b`, 'i')

const KEYWORDS_BEFORE_A_PARENTHESIS = words(`
  select distinct from join lateral only where on using and or not in exists any some all between like ilike is as case
  when then else having by limit offset fetch first union intersect except values row array over filter within group
  partition order separator interval cast try_cast escape collate div mod xor
  char character varchar nvarchar nchar varying decimal numeric dec float real double precision bit varbit binary
  varbinary time timestamp timestamptz timetz datetime datetime2 datetimeoffset integer int bigint smallint signed
  unsigned text blob vector geometry
`)

/** Functions that write nothing, lock nothing and do not depend on the session they run in. */
const PURE_FUNCTIONS = words(`
  count sum avg min max total group_concat string_agg array_agg json_agg jsonb_agg json_object_agg jsonb_object_agg
  json_group_array json_group_object json_arrayagg json_objectagg bool_and bool_or every bit_and bit_or stddev
  stddev_pop stddev_samp variance var_pop var_samp corr percentile_cont percentile_disc mode any_value grouping count_big
  row_number rank dense_rank percent_rank cume_dist ntile lag lead first_value last_value nth_value
  coalesce nullif ifnull isnull nvl iif if greatest least convert try_convert typeof
  lower upper initcap length char_length character_length octet_length bit_length len datalength trim ltrim rtrim btrim
  substr substring substring_index left right lpad rpad repeat reverse replace translate concat concat_ws position
  strpos instr locate charindex patindex split_part string_to_array array_to_string ascii chr char unicode hex unhex
  md5 sha1 sha2 sha256 format printf quote regexp_replace regexp_match regexp_matches regexp_like regexp_substr
  regexp_instr regexp_count regexp_split_to_array starts_with similarity word_similarity unaccent levenshtein soundex
  to_char to_number encode decode strcmp field elt find_in_set
  abs ceil ceiling floor round trunc mod power pow sqrt cbrt exp ln log2 log10 sign pi sin cos tan asin acos atan
  atan2 degrees radians random rand width_bucket gcd lcm
  now date time datetime timestamp strftime julianday unixepoch timediff date_trunc date_part date_bin extract age
  to_timestamp to_date make_date make_time make_timestamp make_timestamptz make_interval justify_days justify_hours
  curdate curtime current_date current_time current_timestamp localtime localtimestamp clock_timestamp
  statement_timestamp transaction_timestamp utc_date utc_timestamp getdate getutcdate sysdatetime year quarter month
  week day hour minute second dayofweek dayofmonth dayofyear weekday yearweek last_day monthname dayname date_format
  date_add date_sub adddate subdate datediff dateadd datename datepart timestampdiff timestampadd from_unixtime
  unix_timestamp str_to_date eomonth
  json json_extract json_unquote json_value json_query json_type json_typeof json_valid json_array_length json_length
  json_keys json_contains json_contains_path json_search json_overlaps json_object json_array json_build_object
  json_build_array json_quote json_each json_each_text json_tree json_array_elements json_array_elements_text
  json_object_keys json_set json_insert json_replace json_remove json_patch json_table json_strip_nulls
  jsonb jsonb_extract jsonb_typeof jsonb_array_length jsonb_build_object jsonb_build_array jsonb_each jsonb_each_text
  jsonb_array_elements jsonb_array_elements_text jsonb_object_keys jsonb_set jsonb_insert jsonb_path_exists
  jsonb_path_match jsonb_path_query jsonb_path_query_array jsonb_path_query_first jsonb_strip_nulls jsonb_pretty
  jsonb_exists jsonb_exists_any jsonb_exists_all jsonb_to_recordset json_to_recordset to_json to_jsonb row_to_json
  array_to_json openjson unnest array_length array_position array_remove array_append array_prepend array_cat
  array_upper array_lower cardinality generate_series generate_subscripts
  to_tsvector to_tsquery plainto_tsquery phraseto_tsquery websearch_to_tsquery ts_rank ts_rank_cd ts_headline match
  against gen_random_uuid uuidv4 uuidv7 uuid newid bin_to_uuid uuid_to_bin
  st_asgeojson st_astext st_contains st_distance st_dwithin st_geomfromtext st_intersects st_makepoint st_point st_setsrid
  st_within st_x st_y
`)
