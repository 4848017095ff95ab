import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { readPage } from '../support/docs.ts'
import { freePort } from '../support/free-port.ts'
import { onPort, readQuickStart, runQuickStart } from '../support/quick-start.ts'

t.test('the quick start runs, and curl prints what the README says', async t => {
  const { app, calls } = readQuickStart(await readPage('README.md'))
  t.ok(calls.length > 5)
  const folder = t.testdir({})
  const port = await freePort()
  await writeFile(join(folder, 'app.ts'), onPort(app, port))
  const { replies, code } = await runQuickStart({ node: process.execPath, folder, port, commands: calls.map(({ command }) => onPort(command, port)) })
  for (const [i, { command, reply }] of calls.entries()) t.equal(replies[i], reply, command)
  t.equal(code, 0, 'and ends')
})
