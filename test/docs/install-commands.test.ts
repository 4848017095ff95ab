import t from 'tap'
import { readPage, readPages } from '../support/docs.ts'

const { devDependencies } = JSON.parse(await readPage('package.json'))

t.test('commands install versions of MikroORM that the tests use too', async t => {
  const specs = (await readPages()).flatMap(({ text }) => [...text.matchAll(/^npm install .+$/gm)].flatMap(([command]) => command.match(/@mikro-orm\/\w+@\S+/g) ?? []))
  t.ok(specs.length >= 4)
  for (const spec of specs) {
    const [, name, version] = /^(.+)@(.+)$/.exec(spec)!
    t.equal(version, devDependencies[name!], spec)
  }
})

/** Not every package of MikroORM has each of its versions. */
t.test('each database of the quick start has a package in that version', async t => {
  const packages = [...(await readPage('docs/quick-start.md')).matchAll(/^\| .+ \| `(@mikro-orm\/\w+)` \|$/gm)].map(([, name]) => name!)
  t.ok(packages.length >= 5)
  for (const name of [...packages, '@mikro-orm/decorators']) t.equal(devDependencies[name], devDependencies['@mikro-orm/core'], name)
})
