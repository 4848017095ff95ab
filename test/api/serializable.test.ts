import { setTimeout } from 'node:timers/promises'
import { em } from '../../index.ts'
import { Book, onEachPool, onPostgres } from '../support/databases.ts'
import { startServer } from '../support/server.ts'
import { runTransfers } from '../support/transfers.ts'

onEachPool('50 clients that transfer money at serializable: every request is answered with 200, and done once', async (t, { orm, taken }) => {
  const { statuses, attempts, commits } = await runTransfers(t, [orm])
  t.strictSame(Object.keys(statuses), ['200'])
  t.equal(commits, statuses[200], 'afterCommit() ran once for each')
  t.ok(attempts > commits, 'and some have failed before')
  t.equal(taken(), 0)
})

onPostgres('write skew at serializable: of two doctors on call, one always stays', async (t, { orm, observe, taken }) => {
  await orm.em.fork().insertMany(Book, [1, 2].map(id => ({ id, title: `doctor ${id}`, stock: 1 })))
  const seen: Record<string, number> = {}
  const { post } = await startServer(t, { orm }, app => {
    const options = { config: { orm: { isolationLevel: 'serializable', retry: 200 } as const } }
    app.post('/leave/:id', options, async (request, reply) => {
      const onCall = await em().find(Book, { stock: 1 })
      const { id } = request.params as { id: string }
      const doctor = onCall.find(doctor => doctor.id === Number(id))
      if (onCall.length < 2 || doctor === undefined) return reply.code(409).send('no')
      doctor.stock = 0
      return 'left'
    })
    app.post('/return/:id', options, async request => {
      await em().nativeUpdate(Book, Number((request.params as { id: string }).id), { stock: 1 })
      return 'is back'
    })
  })
  const stopped = AbortSignal.timeout(1500)
  let fewest = 2
  const watch = async (): Promise<void> => {
    while (!stopped.aborted) {
      fewest = Math.min(fewest, (await observe('select 1 from book where stock = 1')).length)
      await setTimeout(1)
    }
  }
  const client = async (number: number): Promise<void> => {
    while (!stopped.aborted) {
      for (const what of ['leave', 'return']) {
        const { status } = await post(`/${what}/${1 + number % 2}`)
        seen[`${what}: ${status}`] = (seen[`${what}: ${status}`] ?? 0) + 1
      }
    }
  }
  await Promise.all([watch(), ...Array.from({ length: 50 }, (_, number) => client(number))])
  t.equal(fewest, 1, 'one has left, and never both')
  t.strictSame(Object.keys(seen).sort(), ['leave: 200', 'leave: 409', 'return: 200'])
  t.equal(taken(), 0)
})
