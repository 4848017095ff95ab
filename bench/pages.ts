import { readFile, writeFile } from 'node:fs/promises'
import { markdownTable } from 'markdown-table'
import type { Goal } from './result.ts'
import { median, ratioOf } from './ratios.ts'
import type { Result } from './result.ts'
import type { Kept } from './results.ts'
import { TO_THE_LIMIT } from './variants/variants.ts'
import { workloads } from './workloads.ts'

/** For a page and for a terminal alike. */
export function showResult ({ title, table, goals }: Pick<Result, 'title' | 'table' | 'goals'>): string {
  return [`### ${title}`, toMarkdown(table), ...(goals.length > 0 ? [goals.map(showGoal).join('\n')] : [])].join('\n\n')
}

function showGoal ({ goal, measured, isReached }: Goal): string {
  return `- ${isReached ? 'reached' : '**missed**'}: ${goal}: ${measured}`
}

/** Writes what was last measured into this folder's page and that of the docs, between their comments. */
export async function writePages (all: Kept[]): Promise<void> {
  await replace(new URL('README.md', import.meta.url), all.map(showKept).join('\n\n'))
  await replace(new URL('../docs/performance.md', import.meta.url), overview(all))
}

function showKept (kept: Kept): string {
  const { name, engine, date, rounds, seconds, machine } = kept
  const where = `\`npm run bench -- ${name}${engine === undefined ? '' : ` --engine ${engine}`}\` on ${date}: ${rounds} rounds of ${seconds} s, on ${machine.cores} cores (${machine.processor}), Node ${machine.node}, Fastify ${machine.fastify}, MikroORM ${machine.mikroOrm}, ${machine.database}`
  return `${showResult(engine === undefined ? kept : { ...kept, title: `${kept.title}: ${machine.database}` })}\n\n${where}.`
}

/** Requests per second of the variants on PostgreSQL, as a part of the recipe's. */
function overview (all: Kept[]): string {
  const kept = all.filter(({ name, engine }) => engine === undefined && name in workloads).map(({ title, data }) => ({ title, variants: data as Record<string, { rate: number[] }> }))
  const others = TO_THE_LIMIT.filter(name => name !== 'recipe' && kept.some(({ variants }) => name in variants))
  const rows = kept.map(({ title, variants }) => {
    const { rate: recipe } = variants.recipe!
    return [title, median(recipe).toFixed(0), ...others.map(name => name in variants ? ratioOf(variants[name]!.rate, recipe).median.toFixed(2) : '')]
  })
  return toMarkdown([['requests per second', 'recipe', ...others.map(name => `${name}, to the recipe`)], ...rows])
}

function toMarkdown (table: string[][]): string {
  return markdownTable(table, { align: table[0]!.map((_, column) => column === 0 ? 'l' : 'r') })
}

const BLOCK = /(<!-- made by npm run bench -->\n)[^]*?(<!-- end -->)/

async function replace (page: URL, text: string): Promise<void> {
  const before = await readFile(page, 'utf8')
  if (!BLOCK.test(before)) throw new Error(`There is no place for the results in ${page}`)
  await writeFile(page, before.replace(BLOCK, (_, start, end) => `${start}\n${text}\n\n${end}`))
}
