import type { MikroORM, Options } from '@mikro-orm/core'
import type { FastifyInstance } from 'fastify'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { openBooks } from '../../examples/cookbook/books.ts'
import { createDatabase } from '../../examples/support/postgres-database.ts'
import { notAskedFor } from './asked-engines.ts'
import { withoutPostgres } from './without-servers.ts'

export interface Shelf {
  options: Partial<Options>
  /** For the app. Its statements are in `sent`. */
  open: () => Promise<MikroORM>
  /** The titles that a second connection sees. */
  titles (): Promise<string[]>
  sent: string[]
  /** On a second connection. */
  query (sql: string): Promise<any[]>
}

export interface Reply {
  status: number
  body: any
  headers: Headers
}

export interface Client {
  url: string
  get (path: string, headers?: Record<string, string>): Promise<Reply>
  post (path: string, body?: object, headers?: Record<string, string>): Promise<Reply>
}

type Run = (t: Test, shelf: Shelf) => Promise<void>

/** Runs a test of a recipe on a database of its own, which others see as well. */
export function onSqliteShelf (name: string, run: Run, more: Partial<Options> = {}): void {
  t.test(`${name} (SQLite)`, { skip: notAskedFor('sqlite') }, async t => await withShelf(t, run, { dbName: join(t.testdir({}), 'books.sqlite'), ...more }))
}

export function onPostgresShelf (name: string, run: Run, more: Partial<Options> = {}): void {
  t.test(`${name} (PostgreSQL)`, { skip: withoutPostgres }, async t => {
    await withShelf(t, run, { clientUrl: (await createDatabase(t)).url, ...more })
  })
}

export function onEachShelf (name: string, run: Run, more: Partial<Options> = {}): void {
  onSqliteShelf(name, run, more)
  onPostgresShelf(name, run, more)
}

async function withShelf (t: Test, run: Run, options: Partial<Options>): Promise<void> {
  const observer = await openBooks(options)
  t.teardown(() => observer.close())
  const query = async (sql: string): Promise<any[]> => await (observer.em.getConnection() as any).execute(sql)
  const sent: string[] = []
  await run(t, {
    options,
    open: () => openBooks({ ...options, colors: false, debug: ['query'], logger: line => { sent.push(line) } }),
    sent,
    query,
    titles: async () => (await query('select title from book')).map(row => row.title).sort()
  })
}

/** The app on a real socket, and who asks it. */
export async function clientOf (t: Test, app: FastifyInstance): Promise<Client> {
  t.teardown(() => app.close())
  return clientAt(await app.listen({ host: '127.0.0.1', port: 0 }))
}

export function clientAt (url: string): Client {
  const ask = async (path: string, init?: RequestInit): Promise<Reply> => {
    const response = await fetch(url + path, init)
    const text = await response.text()
    return { status: response.status, body: text !== '' && isJson(response) ? JSON.parse(text) : text, headers: response.headers }
  }
  return {
    url,
    get: (path, headers = {}) => ask(path, { headers }),
    post: (path, body, headers = {}) => ask(path, {
      method: 'POST', body: JSON.stringify(body), headers: { ...headers, ...body && { 'content-type': 'application/json' } }
    })
  }
}

function isJson (response: Response): boolean {
  return /json/.test(response.headers.get('content-type') ?? '')
}
