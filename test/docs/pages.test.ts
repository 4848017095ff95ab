import { existsSync } from 'node:fs'
import t from 'tap'
import { readPage, readPages, snippetsOf } from '../support/docs.ts'

t.test('every TypeScript block has a name, and is a file of its own', async t => {
  const pages = await readPages()
  const snippets = snippetsOf(pages)
  for (const { file, text } of pages) t.equal(snippets.filter(({ page }) => page === file).length, text.split('```ts\n').length - 1, file)
  t.equal(new Set(snippets.map(({ name }) => name)).size, snippets.length)
})

t.test('the README can be read in a few minutes', async t => {
  const words = (await readPage('README.md')).trim().split(/\s+/).length
  t.ok(words <= 1200, `${words} words`)
})

t.test('each guarantee names a test that there is', async t => {
  const rows = [...(await readPage('docs/guarantees.md')).matchAll(/^\| .+ \| `(test\/[\w/.-]+)`: (.+) \|$/gm)]
  t.ok(rows.length > 30)
  for (const [, file, title] of rows) {
    t.ok(existsSync(new URL(`../../${file}`, import.meta.url)) && (await readPage(file!)).includes(`('${title!.replaceAll('`', '\\`')}'`), `${file}: ${title}`)
  }
})
