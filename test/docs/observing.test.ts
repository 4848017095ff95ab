import { metrics } from '@opentelemetry/api'
import { MeterProvider } from '@opentelemetry/sdk-metrics'
import { hasSubscribers } from 'node:diagnostics_channel'
import t from 'tap'
import { writeSnippets } from '../support/docs.ts'

t.test('what the docs say of guards and of OpenTelemetry is so', async t => {
  const { load } = await writeSnippets(t)
  const { orm, Book } = await load('orm.ts')
  t.teardown(() => orm.close())
  await orm.schema.create()
  const guarded = (await load('guarded.ts')).buildApp()
  const response = await guarded.inject({ method: 'POST', url: '/books' })
  t.match(response.json(), { statusCode: 500, code: 'FST_ORM_GUARD' })
  t.match(response.json().message, /POST \/books calls GET http:\/\/127\.0\.0\.1:3999\/ at .*guarded\.ts:\d+:\d+.*begun at .*guarded\.ts:\d+:\d+/)
  t.equal(await orm.em.fork().count(Book), 0)
  await guarded.close()
  t.notOk(hasSubscribers('fastify-context-orm:statement'))
  metrics.setGlobalMeterProvider(new MeterProvider())
  t.teardown(() => metrics.disable())
  const observed = (await load('observed.ts')).buildApp()
  await observed.ready()
  t.ok(hasSubscribers('fastify-context-orm:statement'))
  await observed.close()
  t.notOk(hasSubscribers('fastify-context-orm:statement'))
})
