import { globSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

interface Group {
  text: string
  items: { text: string, link: string }[]
}

/** Add a page here, by its file. Those that nobody has added are under "More". */
const GROUPS: Record<string, string[]> = {
  Start: ['why', 'quick-start', 'which-one', 'coming-from'],
  Guide: ['requests', 'contexts', 'nesting', 'hooks', 'streams', 'sockets', 'databases', 'types', 'database-errors', 'testing'],
  Cookbook: ['cookbook/README', 'cookbook/*'],
  Production: ['production', 'retries', 'idempotency', 'replicas', 'observing', 'inspector', 'engines', 'poolers', 'galera', 'performance'],
  Reference: ['reference/options', 'reference/errors', 'api/*', 'guarantees', 'compatibility'],
  'Inside it': ['settlement', 'internals', 'adding-an-engine']
}

/** What there is, with the title that each page gives itself. */
export function sidebar (docs: URL): Group[] {
  const cwd = fileURLToPath(docs)
  const pages = globSync('**/*.md', { cwd, exclude: ['.vitepress'] }).map(file => file.replaceAll('\\', '/').slice(0, -'.md'.length)).sort()
  const left = new Set(pages.filter(page => page !== 'index'))
  const take = (pattern: string): string[] => {
    const taken = pattern.endsWith('/*') ? [...left].filter(page => page.startsWith(pattern.slice(0, -1))) : [pattern].filter(page => left.has(page))
    for (const page of taken) left.delete(page)
    return taken
  }
  const groups = Object.entries(GROUPS).map(([text, patterns]) => ({ text, pages: patterns.flatMap(take) }))
  return [...groups, { text: 'More', pages: [...left] }].filter(({ pages }) => pages.length > 0)
    .map(({ text, pages }) => ({ text, items: pages.map(page => ({ text: titleOf(`${cwd}/${page}.md`), link: `/${page.replace(/(^|\/)(?:README|index)$/, '$1')}` })) }))
}

function titleOf (file: string): string {
  return /^# (.+)$/m.exec(readFileSync(file, 'utf8'))?.[1]?.replaceAll('`', '').replaceAll('\\', '') ?? file
}
