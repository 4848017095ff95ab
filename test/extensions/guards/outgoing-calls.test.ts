import { once } from 'node:events'
import { get as httpGet, request as httpRequest } from 'node:http'
import { commit, em, runInContext } from '../../../index.ts'
import { startGuards } from '../../../guards.ts'
import { Book, onEachDatabase } from '../../support/databases.ts'
import { here } from '../../support/events.ts'
import { startGuarded, startRemote, told } from './guarded-server.ts'

onEachDatabase('a call while a transaction is held is named with its line, by both clients of Node', async (t, { orm }) => {
  const remote = await startRemote(t)
  const lines: RegExp[] = []
  const server = await startGuarded(t, orm, { outgoingCalls: 'warn' }, app => {
    app.post('/fetch', async () => {
      await em().insert(Book, { title: 'Emma' })
      lines.push(here(-1), here(1))
      await fetch(`${remote}/rates?key=secret`)
      return 'ok'
    })
    app.post('/http', async () => {
      await em().insert(Book, { title: 'Persuasion' })
      lines.push(here(-1), here(1))
      const [response] = await once(httpGet(`${remote}/rates?key=secret`), 'response')
      response.resume()
      return 'ok'
    })
  })
  for (const path of ['/fetch', '/http']) {
    t.equal((await server.post(path)).status, 200)
    const [message, ...others] = told(server)
    server.log.length = 0
    t.equal(others.length, 0)
    const [, line, begun] = / at (\S+), while .* begun at (\S+), with: insert into/.exec(message!) ?? [message]
    t.match([begun, line], lines.splice(0))
    t.match(message, `POST ${path} calls GET ${remote}/rates at `)
    t.notMatch(message, 'secret')
  }
})

onEachDatabase('a call that is refused keeps everything from being committed, also what was rolled back to a savepoint', async (t, { orm, titles }) => {
  const remote = await startRemote(t)
  const server = await startGuarded(t, orm, { outgoingCalls: 'error' }, app => {
    app.post('/', async () => {
      await em().insert(Book, { title: 'Emma' })
      await fetch(remote)
      return 'ok'
    })
    app.post('/nested', async () => {
      await em().transactional(async () => {
        await em().insert(Book, { title: 'Emma' })
        await fetch(remote)
        throw new Error('back')
      }).catch(() => {})
      await em().insert(Book, { title: 'Persuasion' })
      return 'ok'
    })
    app.post('/by-hand', async () => {
      await em().insert(Book, { title: 'Emma' })
      await fetch(remote)
      await commit().catch(() => {})
      return 'ok'
    })
  })
  for (const path of ['/', '/nested', '/by-hand']) {
    const response = await server.post(path)
    t.match(await response.json(), { statusCode: 500, code: 'FST_ORM_GUARD' }, path)
    t.strictSame(await titles(), [])
  }
})

onEachDatabase('a request that is made before the first write, and sent after it, is found when it is sent', async (t, { orm }) => {
  const remote = await startRemote(t)
  const server = await startGuarded(t, orm, { outgoingCalls: 'warn' }, app => {
    app.post('/', async () => {
      const request = httpRequest(remote, { method: 'POST' })
      await em().insert(Book, { title: 'Emma' })
      request.end()
      const [response] = await once(request, 'response')
      response.resume()
      return 'ok'
    })
  })
  t.equal((await server.post('/')).status, 200)
  t.match(told(server), [`POST / calls POST ${remote}/ at `])
})

onEachDatabase('calls before the first write, after a commit, to hosts that are allowed and outside of contexts are right', async (t, { orm }) => {
  const [remote, allowed] = [await startRemote(t), await startRemote(t)]
  const server = await startGuarded(t, orm, { outgoingCalls: 'error', allowedHosts: [new URL(allowed).host.toUpperCase()] }, app => {
    app.post('/', async () => {
      await fetch(remote)
      await em().count(Book)
      await fetch(remote)
      await em().insert(Book, { title: 'Emma' })
      await fetch(allowed)
      await commit()
      await fetch(remote)
      return 'ok'
    })
  })
  await fetch(remote)
  t.equal((await server.post('/')).status, 200)
  t.strictSame(server.log, [])
})

onEachDatabase('without an app, the process is warned, and what cannot fail any more too', async (t, { orm }) => {
  const remote = await startRemote(t)
  const warnings: Error[] = []
  const note = (warning: Error): void => { warnings.push(warning) }
  process.on('warning', note)
  t.teardown(() => process.off('warning', note))
  t.teardown(startGuards({ outgoingCalls: 'warn' }))
  await runInContext({ orm, name: 'import' }, async () => {
    await em().insert(Book, { title: 'Emma' })
    for (let i = 0; i < 3; i++) await fetch(remote)
  })
  await new Promise(resolve => setImmediate(resolve))
  t.match(warnings, [{ name: 'FastifyContextOrmWarning', code: 'FST_ORM_GUARD', message: `The guard "outgoingCalls" has found this: import calls GET ${remote}/ at ` }])
  t.equal(warnings.length, 1, 'once for each line')
})
