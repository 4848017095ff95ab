import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import t from 'tap'
import { writeSnippets } from '../support/docs.ts'

t.test('the tests that the docs show run, and pass', async t => {
  const { folder, all } = await writeSnippets(t)
  const files = all.filter(({ name }) => name.endsWith('.test.ts')).map(({ name }) => join(folder, name))
  t.equal(files.length, 4)
  // as if from a terminal: node:test looks for the runner above it
  const { NODE_TEST_CONTEXT, ...env } = process.env
  const run = spawn(process.execPath, ['--test', '--test-reporter=spec', ...files], { env, stdio: ['ignore', 'pipe', 'inherit'] })
  const [said, [code]] = await Promise.all([run.stdout.toArray(), once(run, 'close')])
  const report = Buffer.concat(said).toString()
  t.equal(code, 0, report)
  t.match(report, /tests 5\n.*\n.*pass 5/)
})
