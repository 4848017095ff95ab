import { Kysely, NodeSqliteDialect, type Transaction } from '@mikro-orm/sql'
import t from 'tap'
import { subclassOfKysely } from '../../lib/drivers/internals.ts'

t.test('the Kysely of a client is found, also where the client is of a class of the app', async t => {
  class OwnKysely extends Kysely<any> {
    override startTransaction (): any {
      return t.fail('a class of ours has nothing of the app\'s')
    }
  }
  const bases: unknown[] = []
  const subclassFor = subclassOfKysely(Base => {
    bases.push(Base)
    return class OfOurs extends Base<any> {}
  })
  const dialect = new NodeSqliteDialect(':memory:')
  const [plain, own] = [new Kysely<any>({ dialect }), new OwnKysely({ dialect })]
  const OfOurs = subclassFor(plain)
  t.equal(subclassFor(new Kysely<any>({ dialect })), OfOurs, 'once for all clients of a class')
  t.equal(subclassFor(own), subclassFor(own))
  t.strictSame(bases, [Kysely, Kysely])
  const ours = new OfOurs({ dialect })
  t.ok(ours instanceof Kysely)
  const trx: Transaction<any> = await ours.startTransaction().execute() as any
  t.equal(trx.isTransaction, true)
})
