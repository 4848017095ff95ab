import { words } from '../../util/words.ts'

export { commitsImplicitly, locksTables } from './implicit-commits.ts'

/**
 * Functions that MySQL and MariaDB both have, that write nothing, lock nothing and do not depend on the session. A stored function
 * may have the name of one that only the other has.
 */
export const functions: Set<string> = words(`
  count sum avg min max group_concat json_arrayagg json_objectagg bit_and bit_or stddev stddev_pop stddev_samp variance var_pop
  var_samp
  row_number rank dense_rank percent_rank cume_dist ntile lag lead first_value last_value nth_value
  coalesce nullif ifnull isnull if greatest least convert
  lower upper length char_length character_length octet_length bit_length trim ltrim rtrim substr substring substring_index left
  right lpad rpad repeat reverse replace concat concat_ws position instr locate ascii char hex unhex md5 sha1 sha2 format quote
  regexp_replace regexp_substr regexp_instr soundex strcmp field elt find_in_set
  abs ceil ceiling floor round mod power pow sqrt exp ln log2 log10 sign pi sin cos tan asin acos atan atan2 degrees radians
  rand
  now date time timestamp timediff extract curdate curtime current_date current_time current_timestamp localtime
  localtimestamp utc_date utc_timestamp year quarter month week day hour minute second dayofweek dayofmonth dayofyear weekday
  yearweek last_day monthname dayname date_format date_add date_sub adddate subdate datediff timestampdiff timestampadd
  from_unixtime unix_timestamp str_to_date
  json_extract json_unquote json_value json_type json_valid json_length json_keys json_contains json_contains_path json_search
  json_object json_array json_quote json_set json_insert json_replace json_remove
  match uuid st_asgeojson st_astext st_contains st_distance st_geomfromtext st_intersects st_within st_x st_y
`)

export const keywordsBeforeParenthesis: Set<string> = words(`
  select distinct from where on using and or not in exists all between as case when then else having limit union
  intersect except values cast by over join is like div mod xor
`)

/** Where MariaDB's `sql_mode` is that of Oracle, `select s.nextval` takes a number from a sequence. */
export const hiddenWrite: RegExp = /nextval/i
