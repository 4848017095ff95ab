import t from 'tap'
import { startPostgresReplicas, withoutPostgresReplicas } from '../../test/support/postgres-replicas.ts'
import { until } from '../../test/support/until.ts'
import { buildApp } from './app.ts'

t.test('a client and its jobs see its notes, and others see them when their replica has them', { skip: withoutPostgresReplicas }, async t => {
  const servers = await startPostgresReplicas(1)
  const [replica] = servers.replicas as [typeof servers.primary]
  const app = buildApp({ primary: servers.primary.url, replicas: [replica.url], secret: 'of the test' })
  t.teardown(async () => {
    await app.close()
    await servers.stop()
  })
  await app.ready()
  await app.orm.schema.update({ safe: true })
  await until(async () => (await replica.query("select to_regclass('replicas_note') as name"))[0].name !== null)
  await replica.lag(60_000)

  const written = await app.inject({ method: 'POST', url: '/notes', payload: { text: 'Milk and eggs' } })
  t.strictSame(written.json(), { id: 1, text: 'Milk and eggs' })
  const cookie = String(written.headers['set-cookie']).split(';')[0]!
  const get = async (url: string, headers = {}): Promise<unknown> => (await app.inject({ url, headers })).json()
  t.strictSame(await get('/notes', { cookie }), [{ id: 1, text: 'Milk and eggs' }])
  t.strictSame(await get('/notes'), [], 'who has no token reads what the replica has')
  t.strictSame(await get('/summary', { cookie }), { notes: 1, longest: 'Milk and eggs' })
  t.strictSame(await get('/summary'), { notes: 0, longest: null })
  t.strictSame(await get('/exact'), { notes: 1 })
  t.strictSame((await app.inject({ method: 'POST', url: '/counted', payload: { text: 'Bread' } })).json(), { words: 4 })
  await replica.lag(0)
  await until(async () => (await get('/notes') as unknown[]).length === 2)
})
