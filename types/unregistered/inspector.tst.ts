import Fastify from 'fastify'
import inspector, { type DescribedContext, type DescribedInFull, type DescribedPool, type InspectorOptions } from 'fastify-context-orm/inspector'
import { describe, expect, test } from 'tstyche'

const app = Fastify()

describe('the inspector', () => {
  test('has options, each of which is optional', () => {
    app.register(inspector)
    app.register(inspector, { path: '/debug', values: true })
    app.register(inspector, { guard: async (request, reply) => { if (request.ip === '') await reply.code(401).send() } })
    app.register(inspector, { guard: (_request, _reply, done) => done() })
    expect<InspectorOptions>().type.not.toBeAssignableFrom({ unknown: 1 })
    expect<InspectorOptions>().type.not.toBeAssignableFrom({ guard: true })
  })

  test('describes contexts and pools', () => {
    expect<DescribedInFull>().type.toBeAssignableTo<DescribedContext>()
    expect<DescribedInFull['statements'][number]['line']>().type.toBe<string | undefined>()
    expect<DescribedPool['holders'][number]['heldMs']>().type.toBe<number>()
  })
})
