import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { root } from '../support/docs.ts'

function run (...args: string[]): { status: number | null, said: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['tools/example.ts', ...args], { cwd: root, encoding: 'utf8', env: { ...process.env, NODE_OPTIONS: '' } })
  return { status, said: stdout + stderr }
}

t.test('examples are listed and run by their names, and each says what to look at', async t => {
  const { status, said } = run()
  t.equal(status, 0)
  const names = /one of (.+)$/m.exec(said)![1]!.split(', ')
  t.ok(names.includes('bookshop') && names.includes('worker'))
  for (const name of names.filter(name => !name.startsWith('cookbook/'))) t.ok(existsSync(join(root, 'examples', name, 'README.md')), name)
  t.match(run('cli', '--help'), { status: 0, said: 'Usage: import-books.ts FILE' })
  t.match(run('unheard-of'), { status: 2, said: 'bookshop' })
})
