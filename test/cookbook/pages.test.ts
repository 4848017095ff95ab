import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'

/** Their code is that of tests elsewhere. */
const FOLDERS: Record<string, string> = { runners: 'test/package' }

const root = join(import.meta.dirname, '../..')
const read = (path: string): Promise<string> => readFile(join(root, path), 'utf8')
const recipes = (await readdir(join(root, 'docs/cookbook'))).map(file => file.replace('.md', '')).filter(name => name !== 'README')
const folderOf = (recipe: string): string => FOLDERS[recipe] ?? `examples/cookbook/${recipe}`

/** Without indentation and empty lines. */
function lines (code: string): string[] {
  return code.split('\n').map(line => line.trim()).filter(line => line !== '')
}

const blocks = (page: string, language: string): string[] => [...page.matchAll(new RegExp(`^\`\`\`(?:${language})\\n([^]*?)^\`\`\`$`, 'gm'))].map(match => match[1]!)

t.test('each recipe is in the index, and has its code and its test', async t => {
  const index = [...(await read('docs/cookbook/README.md')).matchAll(/\]\(([\w-]+)\.md\)/g)].map(match => match[1]!)
  t.strictSame([...index].sort(), recipes.sort())
  for (const recipe of recipes) {
    t.ok(existsSync(join(root, folderOf(recipe))), recipe)
    if (!(recipe in FOLDERS)) t.ok(existsSync(join(root, `test/cookbook/${recipe}.test.ts`)), `the test of ${recipe}`)
    t.match(await read(`docs/cookbook/${recipe}.md`), /\*\*Careful with\*\*/, `the caveat of ${recipe}`)
  }
})

t.test('the code that a page shows is that of the recipe', async t => {
  for (const recipe of recipes) {
    for (const block of blocks(await read(`docs/cookbook/${recipe}.md`), 'ts|js')) {
      const [, file] = /^\/\/ (\S+)\n/.exec(block)!
      const whole = lines(await read(`${folderOf(recipe)}/${file}`)).join('\n')
      t.ok(whole.includes(lines(block).slice(1).join('\n')), `${recipe}: ${file}\n${block}`)
    }
  }
})

/** A new reader has Fastify, this plugin, and a database. The app of MikroORM's guide has more. */
const AT_HAND = /^(?:fastify|fastify-context-orm|@mikro-orm\/(?:core|sql|sqlite|postgresql))$/
const IN_THE_GUIDE = /^@fastify\/jwt|@mikro-orm\/migrations$/

t.test('a page says what has to be installed, and leads to its code', async t => {
  const dependencies = { ...JSON.parse(await read('package.json')).devDependencies, ...JSON.parse(await read('examples/cookbook/package.json')).devDependencies }
  for (const recipe of recipes.filter(recipe => !(recipe in FOLDERS))) {
    const folder = folderOf(recipe)
    const page = await read(`docs/cookbook/${recipe}.md`)
    t.match(page, `/tree/HEAD/${folder}`, recipe)
    const said = [...page.matchAll(/^npm install (?:-D )?(.+)$/gm)].flatMap(([, specs]) => specs!.split(' '))
    const files = (await readdir(join(root, folder), { recursive: true })).filter(file => /\.[cj]?[jt]s$/.test(file))
    const code = await Promise.all(files.map(file => read(`${folder}/${file}`)))
    const used = code.flatMap(text => [...text.matchAll(/(?:from|import|require\() ?'((?:@[\w-]+\/)?[a-z][\w-]*)(?:\/[^']+)?'/g)].map(([, name]) => name!))
    for (const name of new Set(used)) {
      if (AT_HAND.test(name) || (recipe === 'request-context' && IN_THE_GUIDE.test(name))) continue
      t.ok(said.includes(name.startsWith('@mikro-orm/') && name !== '@mikro-orm/nestjs' ? `${name}@${dependencies[name]}` : name), `${recipe}: ${name}`)
    }
  }
})

t.test('a step from before to after is a difference of the two', async t => {
  const [before, after] = await Promise.all(['before.ts', 'after.ts'].map(async file => lines(await read(`examples/cookbook/request-context/${file}`))))
  const steps = blocks(await read('docs/cookbook/request-context.md'), 'diff').flatMap(block => block.split('\n')).filter(line => line !== '')
  t.ok(steps.length > 20)
  for (const line of steps) {
    const code = line.slice(1).trim()
    if (line[0] !== '+') t.ok(before!.includes(code), line)
    if (line[0] !== '-') t.ok(after!.includes(code), line)
    // such as a flush() that stays elsewhere, or a bracket
    if (line[0] === '-' && !/^(?:await db\.em\.flush\(\)|\}\))$/.test(code)) t.notOk(after!.includes(code), line)
    if (line[0] === '+') t.notOk(before!.includes(code), line)
  }
})
