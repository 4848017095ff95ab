import Fastify from 'fastify'
import contextOrm, { em, runInContext, switchable } from '../../index.ts'
import { createSandbox } from '../../testing.ts'
import { Book, onEachDatabase, type Orm } from '../support/databases.ts'

const refusal = {
  code: 'FST_ORM_BAD_OPTION',
  message: /takes MikroORMs that have transactions, got one with disableTransactions: true\. Remove that: .* transaction: false$/
}

onEachDatabase('a MikroORM with disableTransactions is refused wherever one comes in', async (t, { orm, another }) => {
  const disabled = (): Promise<Orm> => another({ disableTransactions: true, contextName: 'disabled' })
  const without = await disabled()
  const made: Orm[] = []
  const make = async (): Promise<Orm> => {
    made.push(await disabled())
    return made.at(-1)!
  }
  const options: [orm: any, form: string][] = [
    [without, 'a MikroORM'], [[orm, without], 'one of several'], [Promise.resolve(without), 'a promise'],
    [make, 'a function'], [async () => [await make(), await another()], 'a function that makes several']
  ]
  for (const [orm, form] of options) await t.rejects(async () => await Fastify().register(contextOrm, { orm }), refusal, form)
  t.strictSame(await Promise.all(made.map(orm => orm.isConnected())), [false, false], 'what a function makes is closed')
  t.equal(await without.isConnected(), true, 'and what is passed is not')

  await t.rejects(async () => await runInContext({ orm: without }, () => 5), refusal)
  await t.rejects(createSandbox([orm, without]), refusal)
  await t.rejects(switchable(make, 'here'), refusal)
  t.equal(await made.at(-1)!.isConnected(), false)
  const moving = await switchable(host => another({ disableTransactions: host === 'without' }), 'with')
  await t.rejects(moving.switchTo('without'), { code: 'FST_ORM_SWITCH_FAILED', cause: refusal })
  t.equal(moving.host, 'with')
  await moving.close()
})

onEachDatabase('implicitTransactions: false changes nothing in a transaction', async (t, { another, titles, sent }) => {
  const orm = await another({ implicitTransactions: false })
  const write = (): void => { for (const title of ['Emma', 'Emma']) em().create(Book, { title }) }
  sent.length = 0
  await t.rejects(runInContext({ orm }, async () => {
    em().create(Book, { title: 'Persuasion' })
    await em().flush()
    write()
  }), { name: 'UniqueConstraintViolationException' })
  t.strictSame(await titles(), [])
  await runInContext({ orm }, async () => {
    em().create(Book, { title: 'Persuasion' })
    await em().flush()
    await t.rejects(em().transactional(write), { name: 'UniqueConstraintViolationException' })
  })
  t.strictSame(await titles(), ['Persuasion'])
})
