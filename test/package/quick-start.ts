/**
 * `node test/package/quick-start.ts TARBALL NODE…` does what the README says in an empty folder: its commands, with the tarball in the
 * place of the package's name, its `app.ts` and its calls, on each of these Nodes.
 */
import { execSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { readPage } from '../support/docs.ts'
import { freePort } from '../support/free-port.ts'
import { onPort, readQuickStart, runQuickStart } from '../support/quick-start.ts'

const [tarball, ...nodes] = process.argv.slice(2)
const { install, app, calls } = readQuickStart(await readPage('README.md'))
const temporary = mkdtempSync(join(tmpdir(), 'fastify-context-orm-quick-start-'))
process.once('exit', () => rmSync(temporary, { recursive: true, force: true }))
const folder = join(temporary, 'bookshop') // as npm calls the project
mkdirSync(folder)

execSync(install.replace(' fastify-context-orm ', ` ${tarball} --no-audit --no-fund `), { cwd: folder, stdio: ['ignore', 'ignore', 'inherit'] })
for (const node of nodes) {
  const port = await freePort()
  writeFileSync(join(folder, 'app.ts'), onPort(app, port))
  const { replies, code } = await runQuickStart({ node, folder, port, commands: calls.map(({ command }) => onPort(command, port)) })
  const said = calls.map(({ reply }) => reply)
  if (!isDeepStrictEqual(replies, said) || code !== 0) {
    console.error(`FAILED: on ${node}, the app has ended with ${code}, and curl has printed\n${replies.join('\n')}\nin the place of\n${said.join('\n')}`)
    process.exit(1)
  }
  rmSync(join(folder, 'books.sqlite'))
}
console.log(`the quick start of the README runs on ${nodes.length} Nodes, and prints what it says`)
