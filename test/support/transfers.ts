import { setTimeout } from 'node:timers/promises'
import type { Test } from 'tap'
import { afterCommit, em } from '../../index.ts'
import { Book, type Orm } from './databases.ts'
import { startServer } from './server.ts'

/** For how long. `TEST_TRANSFER_SECONDS=20` is what the figures in the docs are from. */
const SECONDS = Number(process.env.TEST_TRANSFER_SECONDS ?? 3)
const ACCOUNTS = 8
const FIRST_ID = 100 // there may be other books
const BALANCE = 1000
const CLIENTS = 50

interface Transfer {
  from: number
  to: number
  amount: number
}

export interface Transfers {
  /** How many replies had which status. */
  statuses: Record<number, number>
  attempts: number
  commits: number
}

/**
 * Clients move money between accounts, each through a server of its database, all at `serializable`: the handler reads two balances and
 * writes them back. Accounts are books, and balances their stock. Asserts that the balances are what the acknowledged transfers make them.
 */
export async function runTransfers (t: Test, orms: Orm[]): Promise<Transfers> {
  const first = orms[0]!.em.fork()
  await first.insertMany(Book, Array.from({ length: ACCOUNTS }, (_, i) => ({ id: FIRST_ID + i, title: `account ${i + 1}`, stock: BALANCE })))
  const seen: Transfers = { statuses: {}, attempts: 0, commits: 0 }
  const acknowledged: Transfer[] = []
  const servers = await Promise.all(orms.map(orm => startServer(t, { orm }, app => {
    app.post('/', { config: { orm: { isolationLevel: 'serializable', retry: 200 } } }, async request => {
      const { from, to, amount } = request.body as Transfer
      seen.attempts++
      afterCommit(() => { seen.commits++ })
      const payer = await em().findOneOrFail(Book, FIRST_ID + from)
      const payee = await em().findOneOrFail(Book, FIRST_ID + to)
      payer.stock -= amount
      payee.stock += amount
      return 'ok'
    })
  })))
  const stopped = AbortSignal.timeout(SECONDS * 1000)
  const client = async (number: number): Promise<void> => {
    while (!stopped.aborted) {
      const from = Math.floor(Math.random() * ACCOUNTS)
      const transfer = { from, to: (from + 1 + Math.floor(Math.random() * (ACCOUNTS - 1))) % ACCOUNTS, amount: 1 + Math.floor(Math.random() * 10) }
      const { status } = await servers[number % servers.length]!.post('/', transfer)
      seen.statuses[status] = (seen.statuses[status] ?? 0) + 1
      if (status === 200) acknowledged.push(transfer)
      await setTimeout(5) // leaves a part of the processor to the servers
    }
  }
  await Promise.all(Array.from({ length: CLIENTS }, (_, number) => client(number)))

  const expected = Array<number>(ACCOUNTS).fill(BALANCE)
  for (const { from, to, amount } of acknowledged) {
    expected[from]! -= amount
    expected[to]! += amount
  }
  const accounts = await first.fork().find(Book, { title: { $like: 'account %' } }, { orderBy: { id: 'asc' } })
  t.strictSame(accounts.map(({ stock }) => stock), expected, 'each acknowledged transfer is there, once, and no other')
  t.comment(`${acknowledged.length} transfers in ${SECONDS} s, in ${seen.attempts} attempts`)
  return seen
}
