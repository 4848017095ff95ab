import { raw } from '@mikro-orm/core'
import { setTimeout } from 'node:timers/promises'
import type { Test } from 'tap'
import { em } from '../../index.ts'
import { Book, type Orm } from './databases.ts'
import { startServer } from './server.ts'
import { collectSettled } from './settled-events.ts'
import { PARTS, WriteLedger } from './write-ledger.ts'

/** A book that every fifth client changes, whichever server it talks to. */
export const CONTENDED = 'contended'

/** Leaves a part of the processor to the servers. */
const PAUSE_MS = 10

interface Reply {
  /** Which of the servers has sent it. */
  server: number
  status: number
}

export interface Load {
  /** Resolves when so many further replies were like that. */
  until (count: number, isRight: (reply: Reply) => boolean): Promise<void>
  /** Resolves with what the clients were told, when all of them have been. */
  stop (): Promise<WriteLedger>
}

/** Clients that write again and again, each of them through a server of its database. */
export async function startLoad (t: Test, orms: Orm[], clients: number): Promise<Load> {
  const settled = collectSettled(t)
  const ledger = new WriteLedger(() => settled)
  const stopped = new AbortController()
  const replies = new Set<string>()
  const waits = new Set<(reply: Reply) => void>()
  const servers = await Promise.all(orms.map(orm => startServer(t, { orm, server: { requestIdHeader: 'id', logger: false } }, app => {
    app.post('/:id', async request => {
      const { id } = request.params as { id: string }
      await em().count(Book, { title: id })
      await em().insert(Book, { title: `${id} ${PARTS[0]}` })
      if (id.endsWith('0')) await em().nativeUpdate(Book, { title: CONTENDED }, { stock: raw('stock + 1') })
      await em().insert(Book, { title: `${id} ${PARTS[1]}` })
      return 'ok'
    })
  })))
  const client = async (number: number): Promise<void> => {
    const server = number % servers.length
    for (let i = 0; !stopped.signal.aborted; i++) {
      const id = `${number}-${i}-${number % 5}`
      const response = await fetch(`${servers[server]!.app.listeningOrigin}/${id}`, { method: 'POST', headers: { id } })
      await response.text()
      replies.add(`${response.status}, Retry-After: ${response.headers.get('retry-after')}`)
      ledger.note(id, response.status)
      for (const note of waits) note({ server, status: response.status })
      await setTimeout(PAUSE_MS)
    }
  }
  const all = Promise.all(Array.from({ length: clients }, (_, number) => client(number)))
  return {
    until: (count, isRight) => new Promise(resolve => {
      const note = (reply: Reply): void => {
        if (!isRight(reply) || --count > 0) return
        waits.delete(note)
        resolve()
      }
      waits.add(note)
    }),
    async stop () {
      stopped.abort()
      await all
      t.strictSame(replies, new Set(['200, Retry-After: null', '503, Retry-After: 1']))
      return ledger
    }
  }
}

/** Resolves when so many transactions are open at the same time. */
export async function openTransactions (orm: Orm, count: number): Promise<void> {
  let left = count
  const all = Promise.withResolvers<void>()
  await Promise.all(Array.from({ length: count }, () => orm.em.fork().transactional(async em => {
    await em.count(Book)
    if (--left === 0) all.resolve()
    await all.promise
  })))
}
