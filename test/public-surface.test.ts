import { DriverException } from '@mikro-orm/core'
import t from 'tap'
import * as guards from '../guards.ts'
import * as idempotency from '../idempotency.ts'
import * as surface from '../index.ts'
import * as inspector from '../inspector.ts'
import * as errors from '../lib/errors.ts'
import * as guardErrors from '../lib/extensions/guards/errors.ts'
import * as idempotencyErrors from '../lib/extensions/idempotency/errors.ts'
import * as inspectorErrors from '../lib/extensions/inspector/errors.ts'
import * as observability from '../observability.ts'
import * as testing from '../testing.ts'
import { readPage } from './support/docs.ts'

t.test('the package exports these values, and nothing else', async t => {
  t.strictSame(Object.keys(surface).sort(), [
    'afterCommit', 'afterRollback', 'atomic', 'beforeCommit', 'captureLines', 'commit', 'context', 'contexts', 'default', 'em', 'rollback', 'runInContext', 'switchable'
  ])
  t.strictSame(Object.keys(testing).sort(), ['allowSandboxes', 'createSandbox'])
  t.strictSame(Object.keys(idempotency).sort(), ['IdempotencyKey', 'default', 'deleteExpiredKeys'])
  t.strictSame(Object.keys(inspector), ['default'])
  t.equal((inspector.default as any)[Symbol.for('plugin-meta')].name, 'fastify-context-orm/inspector')
  t.strictSame(Object.keys(guards).sort(), ['default', 'startGuards'])
  t.strictSame(Object.keys(observability), ['default'])
  t.equal((guards.default as any)[Symbol.for('plugin-meta')].name, 'fastify-context-orm/guards')
  t.equal((observability.default as any)[Symbol.for('plugin-meta')].name, 'fastify-context-orm/observability')
  t.equal((idempotency.default as any)[Symbol.for('plugin-meta')].name, 'fastify-context-orm/idempotency')
  t.equal((surface.default as any)[Symbol.for('plugin-meta')].name, 'fastify-context-orm')
  t.equal((surface.default as any)[Symbol.for('plugin-meta')].fastify, '5.x')
})

t.test('every error has the code it is named after', async t => {
  const codes = Object.keys(errors).filter(name => name.startsWith('FST_'))
  for (const code of codes) {
    const error = new (errors as any)[code]('a', 'b', 'c', 'd')
    t.match(error, { code, statusCode: error instanceof DriverException ? undefined : /CLOS|RETRIABLE/.test(code) ? 503 : 500, name: 'FastifyError' })
    t.ok(error instanceof Error)
  }
})

for (const [name, listed, file] of [['idempotency keys', idempotencyErrors, 'docs/idempotency.md'], ['the inspector', inspectorErrors, 'docs/inspector.md']] as const) {
  t.test(`every error of ${name} has its code, its status, and a row in their page`, async t => {
    const page = await readPage(file)
    const thrown = Object.entries(listed).map(([code, Made]) => {
      const error = new (Made as any)('a', 'b', 'c')
      t.match(error, { code, name: 'FastifyError' })
      return [code, String(error.statusCode)]
    })
    const documented = [...page.matchAll(/^\| `(FST_ORM_\w+)` \| (\d+) \|/gm)].map(([, code, status]) => [code, status])
    t.strictSame(documented.sort(), thrown.sort())
  })
}

t.test('the error of guards has its code, and is on their page', async t => {
  t.strictSame(Object.keys(guardErrors), ['FST_ORM_GUARD'])
  t.match(new guardErrors.FST_ORM_GUARD('a', 'b'), { code: 'FST_ORM_GUARD', statusCode: 500, message: /"a".*b$/ })
  t.match(await readPage('docs/observing.md'), '`FST_ORM_GUARD`')
})
