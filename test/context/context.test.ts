import { MikroORM } from '@mikro-orm/sqlite'
import fc from 'fast-check'
import t from 'tap'
import { Context, currentContext } from '../../lib/context/context.ts'
import type { Ending } from '../../lib/context/settlement.ts'
import { Databases } from '../../lib/databases/databases.ts'
import type { TransactionOptions } from '../../lib/options/options.ts'
import { Book, Author } from '../support/databases.ts'

class ContextOfTest extends Context {
  readonly name = 'test'
  readonly options: TransactionOptions = { transaction: 'on-write' }
  readonly beforeCommit = undefined
  readonly events: string[] = []
  protected readonly waitsForStatements = false

  readonly log = undefined
  readonly description = { id: 1, kind: 'run' as const }
  readonly warnHeldMs = Infinity
  readonly streamTimeout = Infinity

  protected onFirstUse (): void {
    this.events.push('first use')
  }

  protected onEnd (): void {
    this.events.push('end')
  }

  protected emOfParent (): undefined {}

  abort (): void {}
}

const orm = await MikroORM.init({ entities: [Book, Author], dbName: ':memory:' })
await orm.schema.create()
const databases = await Databases.open(orm)
t.teardown(async () => {
  await databases.close()
  await orm.close()
})

const ENDINGS: Ending[] = ['reply', 'status', 'error', 'abort', 'close']

t.test('whatever ends it, in whatever order and however often, a context ends once', async t => {
  const ends = fc.array(fc.record({
    how: fc.constantFrom('commit' as const, 'rollback' as const, 'endUntouched' as const), ending: fc.constantFrom(...ENDINGS), wait: fc.boolean()
  }), { minLength: 1, maxLength: 6 })
  let count = 0
  const left: ContextOfTest[] = []
  await fc.assert(fc.asyncProperty(fc.boolean(), ends, async (uses, ends) => {
    const title = `book ${++count}`
    const context = new ContextOfTest(databases)
    await context.run(async () => { if (uses) context.entityManager().create(Book, { title }) })
    const pending: unknown[] = []
    for (const { how, ending, wait } of ends) {
      // a commit whose flush is overtaken by a rollback rejects
      const ended = Promise.resolve(context[how](ending)).catch(error => { if (error.code !== 'FST_ORM_CONTEXT_ENDED') throw error })
      pending.push(ended)
      if (wait) await ended
    }
    await Promise.all(pending)
    const written = await orm.em.fork().count(Book, { title })
    const isEnded = context.ending !== undefined
    if (!isEnded) left.push(context)
    const expected = !uses ? 'untouched' : written === 1 ? 'committed' : 'rolledBack'
    return context.events.filter(event => event === 'end').length === (isEnded ? 1 : 0) &&
      context.outcome === (isEnded ? expected : undefined) &&
      isEnded === (!uses || ends.some(({ how }) => how !== 'endUntouched')) &&
      (!isEnded || ends.some(({ ending }) => ending === context.ending)) &&
      (context.state === 'settled') === isEnded &&
      context.isInUse === (uses && !isEnded) && !context.hasUncommitted
  }), { numRuns: 300 })
  t.ok(count >= 300)
  for (const context of left) await context.rollback('close')
})

t.test('a context that used no database commits and rolls back nothing', async t => {
  for (const end of ['commit', 'rollback', 'endUntouched'] as const) {
    const context = new ContextOfTest(databases)
    await context[end]('reply')
    t.match(context, { outcome: 'untouched', events: ['end'] })
  }
})

t.test('only what runs in it is in a context', async t => {
  const context = new ContextOfTest(databases)
  t.equal(currentContext(), undefined)
  t.equal(context.run(() => currentContext()), context)
  t.equal(context.runOutermost(() => currentContext()), context)
  t.equal(context.run(() => context.isCurrent), true)
  t.equal(context.isCurrent, false)
})
