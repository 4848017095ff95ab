import type { EngineName, Statements } from './database.ts'
import type { Pair } from './measure-pair.ts'

const onBoth = (statements: Statements): Record<EngineName, Statements> => ({ postgresql: statements, mariadb: statements })
const INSERT: Statements = { begin: 1, commit: 1, insert: 1 }

/** What is asked for by an option or an extension, each beside the same without it; by the names that the command takes. */
export const pairs = {
  idempotency: {
    title: 'Idempotency keys',
    without: "'on-write'",
    with: "'on-write', keys",
    steps: [
      { title: 'insert, with a key', load: { method: 'POST', path: '/once', connections: 20, status: 201, hasKey: true }, statements: onBoth({ ...INSERT, insert: 2, update: 1 }) },
      { title: 'insert, without a key', load: { method: 'POST', path: '/once', connections: 20, status: 201 }, statements: onBoth(INSERT) },
      { title: 'insert, on a route without keys', load: { method: 'POST', path: '/loan', connections: 20, status: 201 }, statements: onBoth(INSERT) },
      { title: 'nothing, on a route without keys', load: { method: 'GET', path: '/nothing', connections: 20, status: 200 }, statements: onBoth({}), atMost: 1.03 }
    ]
  },
  tokens: {
    title: 'Tokens for reads from replicas',
    without: "'on-write'",
    with: "'on-write', tokens",
    steps: [
      { title: 'insert', load: { method: 'POST', path: '/loan', connections: 20, status: 201 }, statements: { postgresql: { ...INSERT, select: 1 }, mariadb: INSERT } },
      { title: 'read', load: { method: 'GET', path: '/book', connections: 20, status: 200 }, statements: onBoth({ select: 1 }) },
      { title: 'nothing', load: { method: 'GET', path: '/nothing', connections: 20, status: 200 }, statements: onBoth({}), atMost: 1.03 }
    ]
  }
} satisfies Record<string, Pair>
