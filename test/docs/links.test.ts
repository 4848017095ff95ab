import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path/posix'
import t from 'tap'
import { readPage, readPages } from '../support/docs.ts'

const { repository } = JSON.parse(await readPage('package.json'))
const home = repository.url.replace(/^git\+|\.git$/g, '')
const inHome = new RegExp(`^${home.replace('github.com', '(?:github|raw\\.githubusercontent)\\.com')}/(?:(?:blob|tree)/)?HEAD/`)

/** As GitHub makes them, and the site too. */
function anchorsOf (page: string): string[] {
  return [...page.matchAll(/^#+ (.+)$/gm)].map(([, title]) => title!.toLowerCase().replace(/[^\w -]/g, '').replaceAll(' ', '-'))
}

t.test('links lead somewhere', async t => {
  const counts = { between: 0, home: 0 }
  for (const { file, text } of [...await readPages(), ...await Promise.all(['CONTRIBUTING.md', 'SECURITY.md'].map(async file => ({ file, text: await readPage(file) })))]) {
    for (const [, path, anchor] of text.matchAll(/\]\(([^)#]*)(?:#([^)]+))?\)/g)) {
      const isOfHome = inHome.test(path!)
      if (!isOfHome && /^(?:https?|mailto):/.test(path!)) continue
      const target = isOfHome ? path!.replace(inHome, '') : path === '' ? file : join(dirname(file), path!)
      t.ok(existsSync(new URL(`../../${target}`, import.meta.url)), `${file}: ${target}`)
      if (anchor !== undefined) t.ok(anchorsOf(await readPage(target)).includes(anchor), `${file}: ${target}#${anchor}`)
      counts[isOfHome ? 'home' : 'between']++
    }
  }
  t.ok(counts.between > 50 && counts.home > 20, JSON.stringify(counts))
})

t.test('on npm, the README has no folder beside it: all of its links are whole addresses', async t => {
  for (const [, address] of (await readPage('README.md')).matchAll(/\]\(([^)]+)\)/g)) t.match(address, /^https:/)
})
