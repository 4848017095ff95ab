/** One variant, in a process of its own. All of them load the same modules, and differ in nothing but their hooks. */
import Fastify from 'fastify'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { declareWorkloads } from './app.ts'
import { Book, BOOKS, Loan } from './entities.ts'
import { Gate } from './gate.ts'
import { HeldConnections } from './held-connections.ts'
import type { Answers, Message, Question, ServerOptions } from './messages.ts'
import { openOrm, poolOf } from './open-orm.ts'
import { variants } from './variants/variants.ts'

const { variant, engine, databaseUrl, pool }: ServerOptions = JSON.parse(process.argv[2]!)

/**
 * A server that has waited for its turn finds its connections still there. mysql2 3.24 keeps them if it is told nothing; with an
 * idle timeout and MikroORM's `maxIdle` of 0, it closes them every second.
 */
const IDLE_TIMEOUTS = { postgresql: { idleTimeoutMillis: 3_600_000 }, mariadb: {} }

const held = new HeldConnections()
const orm = await openOrm(engine, {
  entities: [Book, Loan],
  clientUrl: databaseUrl,
  pool: { min: 0, max: pool, ...IDLE_TIMEOUTS[engine] }
})
held.watch(await poolOf(orm))

const app = Fastify()
const gate = new Gate()
const em = await variants[variant](app, orm, engine)
await orm.schema.refresh() // now that the variant may have added an entity
await orm.em.fork().insertMany(Book, Array.from({ length: BOOKS }, (_, i) => ({ id: i + 1, title: `Book ${i + 1}`, stock: 3 })))
declareWorkloads(app, em)
gate.declareRoutes(app, em)
const url = await app.listen({ host: '127.0.0.1', port: 0, backlog: 4096 })

let requests = 0
app.server.on('request', () => { requests++ })

const answers: { [Q in Question]: () => Answers[Q] | Promise<Answers[Q]> } = {
  usage () {
    const { user, system } = process.cpuUsage()
    return { requests, cpuMicroseconds: user + system, heldMs: held.ms }
  },
  heap: usedHeap,
  clients: () => new Promise((resolve, reject) => {
    app.server.getConnections((error, count) => error ? reject(error) : resolve(count))
  }),
  taken: () => held.taken,
  waiting: () => gate.waiting,
  openGate () {
    gate.open()
    return true
  },
  async kept () {
    await usedHeap()
    return gate.takeKept()
  }
}

/** Twice, since the first collection may run finalizers, and what they let go of is for the second. */
async function usedHeap (): Promise<number> {
  for (let i = 0; i < 2; i++) {
    await nextTurn()
    globalThis.gc!()
  }
  return process.memoryUsage().heapUsed
}

function tell (message: Message): void {
  process.send!(message)
}

process.on('message', async (question: Question) => {
  tell({ type: question, answer: await answers[question]() } as Message)
})
process.on('disconnect', () => process.exit())

tell({ type: 'listening', answer: url })
