import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import { createDatabase } from '../support/postgres-database.ts'
import { openDatabase } from './database.ts'

const folder = import.meta.dirname
const packageFolder = (name: string): string => dirname(createRequire(join(folder, 'vitest', 'books.test.ts')).resolve(`${name}/package.json`))

const recipes = [
  { name: 'node:test', cwd: folder, args: ['--test', '--test-reporter=spec', 'node-test.ts'], says: /tests 4\n.*\n.*pass 4\n/ },
  { name: 'node-tap', cwd: folder, args: [join(packageFolder('tap'), 'dist', 'esm', 'run.mjs'), '--disable-coverage', '--timeout=60', 'node-tap.ts'], says: /# \{ total: 8, pass: 8 \}/ },
  { name: 'vitest', cwd: join(folder, 'vitest'), args: [join(packageFolder('vitest'), 'vitest.mjs'), 'run', '--testTimeout=60000'], says: /Tests +4 passed/ }
]

const { url, query } = await createDatabase(t)

// as if from a terminal: node:test and tap would look for the runner above them. tap follows what it starts, whatever its
// environment, and what vitest has compiled would spoil the coverage of lib: unless it is told not to measure there
const env = {
  ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(_?TAP|NODE_TEST_CONTEXT$)/.test(name))),
  _TAPJS_PROCESSINFO_COVERAGE_: '0'
}

t.test('of files that open the database at once, one makes the tables', async t => {
  const orms = await Promise.all([1, 2, 3].map(() => openDatabase({ connections: 2, url })))
  for (const orm of orms) await orm.close()
  t.strictSame(await query('select * from book'), [])
})

for (const { name, cwd, args, says } of recipes) {
  t.test(`the recipe for ${name} passes, in parallel, and leaves nothing`, async t => {
    await query('begin')
    await query('lock table book in exclusive mode')
    const run = spawn(process.execPath, args, {
      cwd, env: { ...env, TEST_DATABASE_URL: url, NO_COLOR: '1' }, stdio: ['ignore', 'pipe', 'inherit'], timeout: 60_000
    })
    const report = run.stdout.toArray()
    const ended = once(run, 'close')

    // all tests write, and so they wait for this one: tests that run one after the other would never be four
    const waiting = "select 1 from pg_locks where not granted and relation = 'book'::regclass"
    while ((await query(waiting)).length < 4 && run.exitCode === null && run.signalCode === null) {
      await setTimeout(20) // leaves the machine to the runner
    }
    t.equal((await query(waiting)).length, 4, 'so many tests at once')
    await query('commit')

    const said = Buffer.concat(await report).toString()
    t.strictSame(await ended, [0, null], said)
    t.match(said, says)
    t.strictSame(await query('select * from book'), [])
  })
}
