import { DriverException } from '@mikro-orm/core'
import { readFile } from 'node:fs/promises'
import t from 'tap'
import * as surface from '../index.ts'
import * as errors from '../lib/errors.ts'
import * as testing from '../testing.ts'

const readme = await readFile(new URL('../README.md', import.meta.url), 'utf8')

t.test('the package exports these values, and nothing else', async t => {
  t.strictSame(Object.keys(surface).sort(), [
    'afterCommit', 'afterRollback', 'atomic', 'beforeCommit', 'commit', 'default', 'em', 'rollback', 'runInContext', 'switchable'
  ])
  t.strictSame(Object.keys(testing).sort(), ['allowSandboxes', 'createSandbox'])
  t.equal((surface.default as any)[Symbol.for('plugin-meta')].name, 'fastify-context-orm')
  t.equal((surface.default as any)[Symbol.for('plugin-meta')].fastify, '5.x')
})

t.test('every error has the code it is named after, and a row in the README', async t => {
  const codes = Object.keys(errors).filter(name => name.startsWith('FST_'))
  for (const code of codes) {
    const error = new (errors as any)[code]('a', 'b', 'c', 'd')
    t.match(error, { code, statusCode: error instanceof DriverException ? undefined : /CLOS/.test(code) ? 503 : 500, name: 'FastifyError' })
    t.ok(error instanceof Error)
  }
  const documented = [...readme.matchAll(/^\| `(FST_ORM_\w+)` \|/gm)].map(match => match[1]!)
  t.strictSame(documented.sort(), codes.sort())
})
