import { randomUUID } from 'node:crypto'

/** Makes an empty database on the server of that URL, by a connection's `query`. Resolves with its URL. */
export async function createDatabase (serverUrl: string, query: (sql: string) => Promise<unknown>): Promise<string> {
  const url = new URL(serverUrl)
  const name = `bench_${randomUUID().slice(0, 8)}`
  await query(`create database ${name}`)
  url.pathname = `/${name}`
  return url.href
}
