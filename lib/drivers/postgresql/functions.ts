import { words } from '../../util/words.ts'

/**
 * Functions of PostgreSQL's own (14 and newer) that write nothing, lock nothing and do not depend on the session. Those of an
 * extension, or of a later version, may be the user's.
 */
export const functions: Set<string> = words(`
  count sum avg min max string_agg array_agg json_agg jsonb_agg json_object_agg jsonb_object_agg bool_and bool_or every bit_and
  bit_or stddev stddev_pop stddev_samp variance var_pop var_samp corr percentile_cont percentile_disc mode grouping
  row_number rank dense_rank percent_rank cume_dist ntile lag lead first_value last_value nth_value
  coalesce nullif greatest least
  lower upper initcap length char_length character_length octet_length bit_length trim ltrim rtrim btrim substr substring left
  right lpad rpad repeat reverse replace translate concat concat_ws position strpos split_part string_to_array array_to_string
  ascii chr md5 sha256 format regexp_replace regexp_match regexp_matches regexp_split_to_array starts_with to_char to_number
  encode decode
  abs ceil ceiling floor round trunc mod power pow sqrt cbrt exp ln log10 sign pi sin cos tan asin acos atan atan2 degrees
  radians random width_bucket gcd lcm
  now date time timestamp timestamptz current_time current_timestamp localtime localtimestamp date_trunc date_part date_bin extract
  age to_timestamp to_date make_date make_time make_timestamp make_timestamptz make_interval justify_days justify_hours
  clock_timestamp statement_timestamp transaction_timestamp
  json_typeof json_array_length json_object json_build_object json_build_array json_each json_each_text json_array_elements
  json_array_elements_text json_object_keys json_strip_nulls jsonb_typeof jsonb_array_length jsonb_build_object
  jsonb_build_array jsonb_each jsonb_each_text jsonb_array_elements jsonb_array_elements_text jsonb_object_keys jsonb_set
  jsonb_insert jsonb_path_exists jsonb_path_match jsonb_path_query jsonb_path_query_array jsonb_path_query_first
  jsonb_strip_nulls jsonb_pretty jsonb_exists jsonb_exists_any jsonb_exists_all jsonb_to_recordset json_to_recordset to_json
  to_jsonb row_to_json array_to_json
  unnest array_length array_position array_remove array_append array_prepend array_cat array_upper array_lower cardinality
  generate_series generate_subscripts
  to_tsvector to_tsquery plainto_tsquery phraseto_tsquery websearch_to_tsquery ts_rank ts_rank_cd ts_headline gen_random_uuid
`)

/** No function can have their names. */
export const keywordsBeforeParenthesis: Set<string> = words(`
  select distinct from lateral only where on using and or not in exists any some all between as case when then else having limit
  offset fetch union intersect except values row array cast group
  by over filter join
`)

/** To have a value of one calls nothing of a user's, as a domain's check would. */
export const types: Set<string> = words(`
  bool boolean smallint int2 int int4 integer bigint int8 real float float4 float8 numeric decimal dec money
  text varchar character char bpchar name uuid json jsonb jsonpath xml bytea bit varbit tsvector tsquery
  date time timetz timestamp timestamptz interval inet cidr macaddr macaddr8 point line lseg box path polygon circle
  oid regclass regtype int4range int8range numrange tsrange tstzrange daterange
`)

/** No table, column or type is called so without quotes, or nobody would. */
export const keywords: Set<string> = words(`
  all and any array as asc at between by case collate cross current_date current_time current_timestamp desc distinct else end
  escape except exists false fetch filter first from full group having ilike in inner intersect is isnull join last lateral left
  like limit localtime localtimestamp natural not notnull null nulls offset on only or order outer over partition precision
  range right row rows select similar some symmetric then to trailing leading both true union using values varying when where
  within zone
`)
