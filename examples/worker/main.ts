/**
 * A queue of jobs in a table, and workers that share it, in this process and in others: what a job does and that it is
 * done is one commit. This one restocks the books that it is told to, and goes on until Ctrl-C:
 *
 * `DATABASE_URL=postgresql://user:password@localhost/bookshop npm run example -- worker Emma Persuasion`
 */
import { runInContext } from 'fastify-context-orm'
import { openDatabase } from './database.ts'
import { enqueue } from './queue.ts'
import { restock, type Restock } from './restock.ts'
import { worker } from './worker.ts'

const WORKERS = 3
const COPIES = 3

const url = process.env.DATABASE_URL
if (!url) {
  console.error('DATABASE_URL is missing, such as postgresql://user:password@localhost/bookshop')
  process.exit(1)
}

const stop = new AbortController()
// not `once`: a Ctrl-C reaches everybody in the terminal, and whoever has started this may pass it on as well
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => stop.abort())

try {
  const database = await openDatabase(url)
  await runInContext({ orm: database, name: 'new jobs' }, () => {
    for (const title of process.argv.slice(2)) enqueue('restock', { title, copies: COPIES } satisfies Restock)
  })
  const handlers = { restock: (payload: Restock) => restock(payload, console.log) }
  const workers = Array.from({ length: WORKERS }, () => worker(database, { handlers, signal: stop.signal }))
  console.log('Waiting for jobs, until Ctrl-C')
  await Promise.all(workers)
  await database.close()
} catch (error: any) {
  console.error(`The workers cannot start: ${error.message}`)
  process.exit(1)
}
