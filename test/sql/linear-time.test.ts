import t from 'tap'
import type { Dialect } from '../../lib/drivers/dialect.ts'
import { commandOf, isModification, isRead, shorten } from '../../lib/sql/statement.ts'

const DIALECTS: Dialect[] = ['postgresql', 'mysql', 'sqlite', 'unknown']
/** What is repeated until it has the length, and what stands before and after it. */
const TEXTS: Array<readonly [before: string, repeated: string, after?: string]> = [
  ['select (1) ', '['], ['select (1) ', '#'], ['select 1 ', '# '], ['select ', "'"], ['select ', '"'], ['select ', '`'], ["select '", "\\'"], ["select '", '\\'], ['select ', '/*'], ['select ', '/* ', '*/'], ['select ', '/**/ '],
  ['select ', '-- a\n'], ['select ', '-- a\r'], ['select a ', ' /**/ + '], ['select ', '--'], ['select ', '$a$ '], ['select ', '$'], ['select ', '$1'], ['select ', 'a'], ['select ', '1'], ['select ', 'a.b '], ['select ', '(', ')'], ['select ', 'lower('],
  ['select ', '::'], ['select ', ';'], ['select ', '[a] '], ['select ', '[a', ']'], ['select ', '"a", '], ['select ', "'a', ", '\\'], ['select ', '\n', 'x;'], ['select ', "x'y' "], ['', ' '], ['', '/**/'], ['', '/*', 'select'], ['', ';'],
  ['insert into t values ', "('a;'), "], ['insert into t values ', "('a'); "], ['create trigger g begin ', 'case '], ['create trigger g begin ', 'end '], ['set transaction ', 'read '], ['commit ', "values '"], ['', 'e\'']
]

/** Milliseconds of this thread, whatever else the machine and the garbage collector do. */
function cpuTime (): number {
  const { user, system } = process.threadCpuUsage()
  return (user + system) / 1000
}

t.test('the time for a statement grows with its length, and no faster', async t => {
  for (const [before, repeated, after = ''] of TEXTS) {
    const time = (length: number): number => {
      const sql = before + repeated.repeat(Math.ceil(length / repeated.length)) + after
      const start = cpuTime()
      for (const dialect of DIALECTS) {
        isRead(sql, dialect)
        commandOf(sql, dialect)
      }
      isModification(sql)
      shorten(sql)
      return cpuTime() - start
    }
    time(1000) // warms it up
    const short = Math.min(time(20_000), time(20_000))
    const long = Math.min(time(200_000), time(200_000))
    // ten times the length: a hundred times as long if it were the square. What takes no time is measured too coarsely
    t.ok(long < 40 * Math.max(short, 2), `${before}${repeated}…: ${short.toFixed(1)} ms, ${long.toFixed(1)} ms`)
  }
})

t.test('a megabyte of text in quotes is passed over, not read', async t => {
  const long = 'lorem ipsum; '.repeat(80_000)
  const start = cpuTime()
  for (let i = 0; i < 10; i++) commandOf(`insert into t values ('${long}')`, 'postgresql')
  const passed = cpuTime() - start
  const read = cpuTime()
  for (let i = 0; i < 5; i++) commandOf(`insert into t values (${long})`, 'postgresql')
  t.ok(passed < cpuTime() - read, 'ten of them take less time than five without the quotes')
})
