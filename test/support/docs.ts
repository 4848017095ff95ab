import { globSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type { Test } from 'tap'

export const root: string = fileURLToPath(new URL('../..', import.meta.url))

export interface Page {
  /** From the root of the project. */
  file: string
  text: string
}

export interface Snippet {
  page: string
  /** What the file is called that it is: it says so in its first line. */
  name: string
  code: string
}

/** The README and the docs, without what is generated, and without the cookbook, whose code is that of `examples/cookbook`. */
export async function readPages (): Promise<Page[]> {
  const docs = globSync('docs/**/*.md', { cwd: root, exclude: ['docs/api', 'docs/cookbook', 'docs/.vitepress'] })
  const files = ['README.md', ...docs.map(file => file.replaceAll('\\', '/')).sort()]
  return await Promise.all(files.map(async file => ({ file, text: await readPage(file) })))
}

export async function readPage (file: string): Promise<string> {
  return await readFile(join(root, file), 'utf8')
}

/** The TypeScript blocks: files that name themselves in their first line, which may go on after a colon. */
export function snippetsOf (pages: Page[]): Snippet[] {
  return pages.flatMap(({ file, text }) => [...text.matchAll(/^```ts\n(\/\/ ([\w-]+(?:\.\w+)*)(?::.*)?\n[^]*?)^```$/gm)]
    .map(([, code, name]) => ({ page: file, code: code!, name: name! })))
}

export interface Snippets {
  folder: string
  all: Snippet[]
  load (name: string): Promise<any>
}

/** Writes all of them into a folder of the test's own. Inside of this package, they find its source by its name. */
export async function writeSnippets (t: Test): Promise<Snippets> {
  const folder = t.testdir({})
  const all = snippetsOf(await readPages())
  for (const { code, name } of all) await writeFile(join(folder, name), code.replaceAll("dbName: 'books.sqlite'", `dbName: ${JSON.stringify(join(folder, 'books.sqlite'))}`))
  return { folder, all, load: async name => await import(pathToFileURL(join(folder, name)).href) }
}
