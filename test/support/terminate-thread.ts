import { createConnection, type RowDataPacket } from 'mysql2/promise'
import { parentPort } from 'node:worker_threads'
import pg from 'pg'
import { killOnMariadb, killOnPostgres } from './kill.ts'

/** The thread of `terminateUnnoticed()`. */
parentPort!.on('message', async ({ url, id, done, port }) => {
  let error: unknown
  try {
    await (/^mysql:/.test(url) ? onMariadb : onPostgres)(url, id)
  } catch (thrown) {
    error = thrown
  }
  port.postMessage({ error })
  Atomics.store(done, 0, 1)
  Atomics.notify(done, 0)
})
parentPort!.postMessage('ready')

async function onPostgres (url: string, id: number): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    await killOnPostgres(async sql => (await client.query(sql)).rows, id)
  } finally {
    await client.end()
  }
}

async function onMariadb (url: string, id: number): Promise<void> {
  const client = await createConnection({ uri: url })
  try {
    await killOnMariadb(async sql => (await client.query<RowDataPacket[]>(sql))[0], id)
  } finally {
    await client.end()
  }
}
