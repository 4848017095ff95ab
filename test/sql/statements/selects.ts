import type { Rules } from './grammar.ts'

/** What the dialects have alike. Each adds its names, its functions, and what it has alone. */
export const SELECTS: Rules = {
  statement: ['30: <select>', '3: <select>·;', '<select>·;·<write>', 'with <cte> <select>', '<write>', '2: <odd>'],
  select: [
    'select <item>', '12: select <items> from <from><where><tail>', '2: select <items> from <from><where><tail> <lock>', '3: select <aggregates> from <from><where>',
    'select <texts>,·count(*) from <from><where> group by <texts>', 'select distinct <columns> from <from>', 'select <number> from <from> union all select <number> from <from>', '2: select <any> from <book>'
  ],
  items: ['<item>', '<item>,·<item>', '*', '<all>,·<item>', '<item>, row_number() over·(order by <columns>)'],
  all: ['*', 'b.*'],
  item: ['<value>', '<value> as <alias>', '<columns>'],
  value: ['<number>', '<text>', '<condition>', 'null'],
  number: [
    '2: 1', '.5', '4: <numbers>', '2: <number>·<operator> <number>', '(·<number>·)', '(·select <number>·)', '(·select <aggregate> from <from><where>·)', '- <number>',
    'case when <condition> then <number> else <number> end', 'cast·(·<value> as <type>·)', '4: <call>', '<writer>'
  ],
  operator: ['+', '-', '*', '%'],
  text: ["2: 'x'", '<literal>', '4: <texts>', '(·<text>·)', '(·select <texts> from <from> limit 1·)', '4: <textcall>', '<textwriter>'],
  literal: ["''", "'it''s'", "'; delete from book; --'", "'/* '", "' */'", "'select 1 for update'", "'a\\\\'", "'\\'''", "'$$'", "'\"'", "'`'", "'#'"],
  condition: [
    '1·=·1', '2: <number> < <number>', '2: <texts> like <text>', '<texts>·=·<text>', '2: <numbers> in·(·<number>,·<number>·)', 'exists·(·<select>·)', 'not·(·<condition>·)',
    '<condition> and <condition>', '(·<condition> or <condition>·)', '<texts> is not null', '<number> between <number> and <number>'
  ],
  aggregates: ['<aggregate>', '<aggregate>,·<aggregate> as <alias>'],
  aggregate: ['count(*)', 'count·(·distinct <columns>·)', 'max·(·<number>·)', 'sum·(·<number>·)', 'min·(·<texts>·)'],
  from: ['<book>', '4: <book>', '<book> left join <author> on <condition>', '<book>,·<author>', '<book> cross join·(·<select>·) as <alias>', '<writingfrom>'],
  where: ['', '2:  where <condition>'],
  tail: ['', ' order by <columns> desc', ' limit 2', ' order by <columns>,·<columns> limit 1 offset 1'],
  columns: ['<numbers>', '<texts>'],
  // with whatever may be a function's argument
  any: ['<known>·(·<value>·)', '2: <known>·(·<value>·)', '<known>·()', '<known>·(·<value>,·<value>·)', '<known>·(·<value>,·<value>,·<value>·)', '<known>·(·<writer>·)'],
  gap: ['30:  ', '\n', '\t', '  ', '\r\n', '/**/', ' /* ; */ ', '/* for update */', ' -- into x\n', '--\n', "/* ' */"],
  nothing: ['30: ', ' ', '\n', '/**/', '/* ) */', ' -- (\n']
}

export const HOSTILE: string[] = [
  "'", '"', '`', "''", '--', '-- ', '/*', '*/', '/*!', '/*M!', ';', '$$', '$a$', '\\', '#', '@', ':=', '::', '[', ']', '(', ')', '.', ',', 'e', '\r', '\n', ' into x ', ' for update',
  'touch(1)', ' touch', '; delete from book;'
]
