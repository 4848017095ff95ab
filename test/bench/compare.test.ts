import t from 'tap'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { access } from 'node:fs/promises'
import { checkOut, commitOf } from '../../bench/compare/other-code.ts'
import { withoutGit as skip } from '../support/without-git.ts'
import { until } from '../support/until.ts'

/** The code of another commit, for `npm run bench -- --compare`. */

const exists = (url: URL): Promise<boolean> => access(url).then(() => true, () => false)

t.test('it is checked out with the benchmark of this one, and goes', { skip }, async t => {
  const { benchmark, remove } = await checkOut(commitOf('HEAD'))
  t.ok(await exists(new URL('../index.ts', benchmark)), 'the library')
  t.ok(await exists(new URL('compare/other-code.ts', benchmark)), 'the benchmark')
  t.ok(await exists(new URL('../node_modules/fastify/package.json', benchmark)), 'the packages')
  await remove()
  t.notOk(await exists(new URL('..', benchmark)))
  t.ok(await exists(new URL('../../node_modules/fastify/package.json', import.meta.url)), 'the packages that it has borrowed stay')
})

t.test('there has to be such a commit', { skip }, async t => {
  for (const reference of ['no-such-branch', '', '--all']) t.throws(() => commitOf(reference), /--compare takes a commit, a branch or a tag/, reference)
})

for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
  t.test(`it goes when the benchmark ends by ${signal}`, { skip }, async t => {
    const code = `const { checkOut, commitOf } = await import(${JSON.stringify(new URL('../../bench/compare/other-code.ts', import.meta.url).href)})
      process.stdout.write((await checkOut(commitOf('HEAD'))).benchmark.href)
      setInterval(() => {}, 1000)`
    const child = spawn(process.execPath, ['--input-type=module', '-e', code], { stdio: ['ignore', 'pipe', 'inherit'] })
    const [href] = await once(child.stdout, 'data')
    const folder = new URL('..', String(href))
    t.ok(await exists(folder))
    child.kill(signal)
    await until(async () => !await exists(folder))
  })
}
