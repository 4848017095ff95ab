import { words } from '../../util/words.ts'

/** Functions of SQLite's own that write nothing and do not depend on the connection. */
export const functions: Set<string> = words(`
  count sum avg min max total group_concat string_agg json_group_array json_group_object percentile_cont percentile_disc
  row_number rank dense_rank percent_rank cume_dist ntile lag lead first_value last_value nth_value
  coalesce nullif ifnull iif if typeof
  lower upper length octet_length trim ltrim rtrim substr substring replace concat concat_ws instr char unicode hex unhex format
  printf quote soundex
  abs ceil ceiling floor round trunc mod power pow sqrt exp ln log2 log10 sign pi sin cos tan asin acos atan atan2 degrees
  radians random
  date time datetime strftime julianday unixepoch timediff current_date current_time current_timestamp
  json json_extract json_type json_valid json_array_length json_object json_array json_quote json_set json_insert json_replace
  json_remove json_patch json_each json_tree jsonb jsonb_extract jsonb_set jsonb_insert
`)

export const keywordsBeforeParenthesis: Set<string> = words(`
  select distinct from where on using and or not in exists all between as case when then else having limit union
  intersect except values cast by over filter join is like
`)

/** `select * from pragma_optimize` writes statistics. (No other pragma that changes something can be selected from.) */
export const hiddenWrite: RegExp = /pragma_optimize/i
