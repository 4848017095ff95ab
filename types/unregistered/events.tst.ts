import { subscribe } from 'node:diagnostics_channel'
import { afterCommit, captureLines, context, type BegunEvent, type ContextOrmChannels, type ContextView, type SettledEvent, type StatementEvent } from 'fastify-context-orm'
import { describe, expect, test } from 'tstyche'

test('context() is a view that nobody writes to', () => {
  expect(context()).type.toBe<ContextView>()
  expect(context().state).type.toBe<'idle' | 'reading' | 'held' | 'settling' | 'ended'>()
  // @ts-expect-error Cannot assign to 'state' because it is a read-only property.
  context().state = 'ended'
})

test('captureLines() gives what ends it', () => {
  expect(captureLines()).type.toBe<() => void>()
})

test('afterCommit() may be told not to wait, and nothing else', () => {
  expect(afterCommit).type.toBeCallableWith(async () => {}, { wait: false })
  expect(afterCommit).type.not.toBeCallableWith(async () => {}, { waits: false })
})

describe('messages', () => {
  test('are typed by the names of their channels', () => {
    expect<ContextOrmChannels['fastify-context-orm:begun']>().type.toBe<BegunEvent>()
    expect<ContextOrmChannels['fastify-context-orm:statement']>().type.toBe<StatementEvent>()
    expect<ContextOrmChannels['fastify-context-orm:settled']>().type.toBe<SettledEvent>()
    expect<StatementEvent['kind']>().type.toBe<'read' | 'write' | 'begin' | 'commit' | 'rollback' | 'savepoint'>()
    expect<BegunEvent['line']>().type.toBe<string | undefined>()
    subscribe('fastify-context-orm:statement', message => {
      expect((message as StatementEvent).context).type.toBe<ContextView>()
    })
  })
})
