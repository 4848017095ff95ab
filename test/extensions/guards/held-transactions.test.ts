import { setTimeout as sleep } from 'node:timers/promises'
import { commit, context, em, runInContext } from '../../../index.ts'
import { startGuards } from '../../../guards.ts'
import { Book, onEachDatabase, onEachPool } from '../../support/databases.ts'
import { here } from '../../support/events.ts'
import { until } from '../../support/until.ts'
import { startGuarded, startRemote, told } from './guarded-server.ts'

onEachDatabase('a transaction around a slow call is told of while it hangs, with the line that began it', async (t, { orm }) => {
  const answer = Promise.withResolvers<void>()
  const remote = await startRemote(t, answer.promise)
  let line: RegExp
  const server = await startGuarded(t, orm, { heldTransactions: 'warn', maxHeldMs: 30 }, app => {
    app.post('/', async () => {
      line = here(1)
      await em().insert(Book, { title: 'Emma' })
      await fetch(remote)
      return 'ok'
    })
  })
  const response = server.post('/')
  await until(() => told(server).length > 0)
  const [, found] = /POST \/ has held a connection to "default" for \d+ ms by its transaction, begun at (\S+), with: insert into/.exec(told(server)[0]!) ?? told(server)
  t.match(found, line!)
  answer.resolve()
  t.equal((await response).status, 200)
  t.equal(told(server).length, 1)
})

onEachDatabase('it can be kept from being committed, and short ones are nobody\'s business', async (t, { orm, titles }) => {
  const server = await startGuarded(t, orm, { heldTransactions: 'error', maxHeldMs: 500 }, app => {
    app.post('/slow', async () => {
      await em().insert(Book, { title: 'Emma' })
      await sleep(550)
      return 'ok'
    })
    app.post('/short', async () => {
      await em().insert(Book, { title: 'Persuasion' })
      await commit()
      await sleep(550)
      return 'ok'
    })
  })
  t.equal((await server.post('/short')).status, 200)
  t.strictSame(server.log, [])
  t.match(await (await server.post('/slow')).json(), { statusCode: 500, code: 'FST_ORM_GUARD' })
  t.strictSame(await titles(), ['Persuasion'])
})

onEachDatabase('of a process that was busy for long, it is found when it is too late to fail', async (t, { orm, titles }) => {
  const server = await startGuarded(t, orm, { heldTransactions: 'error', maxHeldMs: 20 }, app => {
    app.post('/', async () => {
      await em().insert(Book, { title: 'Emma' })
      const end = performance.now() + 40
      while (performance.now() < end);
      await commit()
      return 'ok'
    })
  })
  t.equal((await server.post('/')).status, 200)
  t.match(server.log, [{ level: 50, code: 'FST_ORM_GUARD', msg: /POST \/ has held/ }])
  t.strictSame(await titles(), ['Emma'])
})

onEachPool('who has taken the last connection of a starved pool is named', async (t, { another }) => {
  const orm = await another({ pool: { min: 0, max: 1 } })
  const warnings: Error[] = []
  const note = (warning: Error): void => { warnings.push(warning) }
  process.on('warning', note)
  t.teardown(() => process.off('warning', note))
  t.teardown(startGuards({ heldTransactions: 'warn', maxHeldMs: 30 }))
  const begun = Promise.withResolvers<void>()
  let line: RegExp
  const holder = runInContext({ orm, name: 'holder' }, async () => {
    line = here(1)
    await em().insert(Book, { title: 'Emma' })
    begun.resolve()
    await until(() => warnings.length > 0)
  })
  await begun.promise
  await Promise.all([holder, runInContext({ orm, name: 'waiter' }, () => em().count(Book))])
  t.equal(warnings.length, 1)
  const [, found] = /holder has held .* begun at (\S+),/.exec(warnings[0]!.message) ?? [warnings[0]!.message]
  t.match(found, line!)
})

onEachDatabase('guards that end let nobody wait for what they have begun', async (t, { orm }) => {
  const end = startGuards({ heldTransactions: 'error', maxHeldMs: 300 })
  await runInContext({ orm }, async () => {
    await em().insert(Book, { title: 'Emma' })
    end()
    end()
    const view = context()
    await until(() => view.heldMs > 320)
  })
  t.pass('it was committed')
})
