import fc from 'fast-check'
import t from 'tap'
import type { Dialect } from '../../lib/drivers/dialect.ts'
import { commandOf, implicitCommitOf, isModification, isRead, shorten } from '../../lib/sql/statement.ts'
import { withoutValues } from '../../lib/sql/without-values.ts'
import { HOSTILE } from './statements/selects.ts'

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

/** Of everything that a statement is asked. */
function timeFor (sql: string): number {
  const start = cpuTime()
  for (const dialect of DIALECTS) {
    isRead(sql, dialect)
    commandOf(sql, dialect)
    implicitCommitOf(sql, dialect)
    withoutValues(sql, dialect)
  }
  isModification(sql)
  shorten(sql)
  return cpuTime() - start
}

t.test('the time for a statement grows with its length, and no faster', async t => {
  for (const [before, repeated, after = ''] of TEXTS) {
    const time = (length: number): number => timeFor(before + repeated.repeat(Math.ceil(length / repeated.length)) + after)
    time(1000) // warms it up
    const short = Math.min(time(20_000), time(20_000))
    const long = Math.min(time(200_000), time(200_000))
    // ten times the length: a hundred times as long if it were the square. What takes no time is measured too coarsely
    t.ok(long < 40 * Math.max(short, 10), `${before}${repeated}…: ${short.toFixed(1)} ms, ${long.toFixed(1)} ms`)
  }
})

t.test('nothing that is repeated takes much longer than anything else of its length', async t => {
  const parts = [...HOSTILE, 'a', 'a', '1', ' ', ' ', 'lower(', 'cast(', 'as', 'select', 'begin', 'end', 'case', 'create function f()', 'set', 'read', 'values', 'null', '?', ', ', '`a`', '"a"', "'a'", '"a".', '/**/']
  const text = (maxLength: number): fc.Arbitrary<string> => fc.array(fc.constantFrom(...parts), { minLength: 1, maxLength }).map(parts => parts.join(''))
  const texts = fc.tuple(fc.constantFrom('select ', 'select ', 'create trigger t begin ', 'set ', ''), text(2), text(4), text(2))
  const seed = Number(process.env.LINEAR_SEED ?? Date.now() % 1_000_000)
  const measured = fc.sample(texts, { numRuns: 100, seed }).map(([start, before, repeated, after]) => {
    const sql = start + before + repeated.repeat(Math.ceil(LENGTH / repeated.length)) + after
    return { time: Math.min(timeFor(sql), timeFor(sql)), name: `${start}${before}(${repeated})…${after}` }
  }).sort((a, b) => a.time - b.time)
  const [median, slowest] = [measured[measured.length >> 1]!, measured.at(-1)!]
  t.comment(`${median.time.toFixed(1)} ms in the middle, ${slowest.time.toFixed(1)} ms at the end: ${slowest.name}`)
  // were one of them the square, it would be thousands of times as long as another that is not
  t.ok(slowest.time < 30 * Math.max(median.time, 4), `${JSON.stringify(slowest)} LINEAR_SEED=${seed}`)
})

const LENGTH = 50_000

t.test('a megabyte of text in quotes is passed over, not read', async t => {
  const long = 'lorem ipsum; '.repeat(80_000)
  const start = cpuTime()
  for (let i = 0; i < 10; i++) commandOf(`insert into t values ('${long}')`, 'postgresql')
  const passed = cpuTime() - start
  const read = cpuTime()
  for (let i = 0; i < 5; i++) commandOf(`insert into t values (${long})`, 'postgresql')
  t.ok(passed < cpuTime() - read, 'ten of them take less time than five without the quotes')
})
