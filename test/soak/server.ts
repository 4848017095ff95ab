/** The server of the soak, in a process of its own: its heap is the server's, and the clients' memory is elsewhere. */
import { MikroORM } from '@mikro-orm/postgresql'
import compress from '@fastify/compress'
import Fastify from 'fastify'
import diagnostics from 'node:diagnostics_channel'
import contextOrm from '../../index.ts'
import type { SettledEvent } from '../../lib/context/events.ts'
import type { Orm } from '../support/databases.ts'
import { Recorder } from '../model/recorder.ts'
import { assertPoolIsWhole } from '../support/whole-pool.ts'
import { Entry, TAKEN, Taken } from './entities.ts'
import type { Message, Question, SettledContext, Sighting } from './messages.ts'
import { declareRoutes } from './routes.ts'
import { commentQueries } from './sql-comments.ts'

const POOL = 5

const tell = (message: Message): void => { process.send!(message) }

const problems: string[] = []
for (const event of ['unhandledRejection', 'uncaughtException'] as const) {
  process.on(event, (error: any) => { problems.push(`${event}: ${error?.stack ?? error}`) })
}

let contexts: SettledContext[] = []
function tellSettled (): void {
  if (contexts.length > 0) tell({ type: 'settled', contexts })
  contexts = []
}
diagnostics.subscribe('fastify-context-orm:settled', event => {
  const { requestId, kind, outcome } = event as SettledEvent
  if (contexts.push({ request: requestId!, kind, outcome }) >= 100) tellSettled()
})

let sights: Sighting[] = []
function tellSights (): void {
  if (sights.length > 0) tell({ type: 'seen', sights })
  sights = []
}
const recorder = new Recorder({ teardown () {} }, (request, seen) => {
  if (sights.push([request, seen]) >= 100) tellSights()
})

commentQueries()
const orm = await MikroORM.init({
  entities: [Entry, Taken], clientUrl: process.argv[2]!, pool: { min: 0, max: POOL }, driverOptions: { application_name: 'soak' }
})
await orm.schema.refresh()
await orm.em.fork().insert(Taken, { name: TAKEN })

const app = Fastify({ requestIdHeader: 'request-id', forceCloseConnections: true })
await app.register(compress, { threshold: 0 })
await app.register(contextOrm, { orm })
declareRoutes(app)
recorder.watchServer(app, 'request-id')
const url = await app.listen({ host: '127.0.0.1', port: 0 })

async function report (): Promise<void> {
  await assertPoolIsWhole(orm as unknown as Orm, POOL).catch(error => { problems.push(error.message) })
  tellSettled()
  tellSights()
  tell({ type: 'report', problems })
}

process.on('message', (question: Question) => {
  if (question === 'report') return report()
  globalThis.gc!()
  tell({ type: 'heap', bytes: process.memoryUsage().heapUsed })
})
process.on('disconnect', () => process.exit())

tell({ type: 'listening', url })
