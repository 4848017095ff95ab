import type { EntityManager, MikroORM } from '@mikro-orm/core'
import type { FastifyRequest } from 'fastify'
import { afterCommit, atomic, commit, runInContext, switchable, type BeforeCommit, type ReplicaOptions, type RunOptions, type SwitchableOrm } from 'fastify-context-orm'
import { describe, expect, test } from 'tstyche'

declare const orm: MikroORM

describe('runInContext()', () => {
  test('gives what its function returns', () => {
    expect(runInContext(() => 5)).type.toBe<Promise<number>>()
    expect(runInContext(async () => 5)).type.toBe<Promise<number>>()
    expect(runInContext({ orm, name: 'job', signal: AbortSignal.timeout(5) }, async () => 'x')).type.toBe<Promise<string>>()
  })

  test('needs a function, and options that exist', () => {
    expect(runInContext).type.not.toBeCallableWith()
    expect(runInContext).type.not.toBeCallableWith({ orm })
    expect(runInContext).type.not.toBeCallableWith({ orm: () => orm }, () => {})
    expect<RunOptions>().type.not.toBeAssignableFrom({ retries: 5 })
    expect<RunOptions>().type.toBeAssignableFrom({ orm: [orm], isolationLevel: 'serializable' as const, readOnly: true })
  })
})

test('commit() gives a token, which runInContext() takes; what replicas are told needs a secret', () => {
  expect(commit()).type.toBe<Promise<string | undefined>>()
  expect<RunOptions>().type.toBeAssignableFrom({ after: 'token' as string | undefined, replica: false })
  expect<ReplicaOptions>().type.toBeAssignableFrom({ readYourWrites: 'cookie' as const, secret: ['new', 'old'], wait: 0 })
  expect<ReplicaOptions>().type.not.toBeAssignableFrom({ readYourWrites: 'cookie' as const })
})

test('atomic() gives what its function returns, and knows four values of existing', () => {
  expect(atomic(async () => 5)).type.toBe<Promise<number>>()
  expect(atomic).type.toBeCallableWith(() => {}, { existing: 'join' })
  expect(atomic).type.not.toBeCallableWith(() => {}, { existing: 'append' })
})

test('hooks take no arguments, and may be async', () => {
  expect(afterCommit).type.toBeCallableWith(async () => {})
  expect(afterCommit).type.not.toBeCallableWith((id: number) => id)
  expect<Parameters<BeforeCommit>>().type.toBe<[em: EntityManager, request: FastifyRequest]>()
})

test('switchable() knows its hosts and its MikroORM', () => {
  expect(switchable(host => { expect(host).type.toBe<string>(); return orm }, 'a')).type.toBe<Promise<SwitchableOrm<string, MikroORM>>>()
  expect(switchable((host: { port: number }) => { expect(host.port).type.toBe<number>(); return orm }, { port: 1 }))
    .type.toBe<Promise<SwitchableOrm<{ port: number }, MikroORM>>>()
})
