import { BaseMySqlPlatform } from '@mikro-orm/sql'
import t from 'tap'
import { rulesOf } from '../../lib/sandbox/sandbox-rules.ts'

t.test('on a database that is neither PostgreSQL nor SQLite, a savepoint is all that there is', async t => {
  const connection = { getPlatform: () => new BaseMySqlPlatform(), execute: () => t.fail('sends nothing') }
  const rules = await rulesOf(connection as any, {} as any)
  await rules.checkDeferred()
  await rules.defer()
  await (await rules.makeReadOnly())()
  await (await rules.noteSettings(['role']))()
  t.strictSame(Object.keys(rules), ['checkDeferred', 'defer', 'makeReadOnly', 'noteSettings'])
})
