import fc from 'fast-check'
import { Agent, request } from 'node:http'
import Fastify from 'fastify'
import contextOrm from '../../index.ts'
import { onEachDatabase } from '../support/databases.ts'
import { NEEDS_HANDLER_TIMEOUT } from '../support/fastify-features.ts'
import { refuseCommits } from '../support/refused-commits.ts'
import { untilNoneRuns } from '../../lib/context/running-contexts.ts'
import { until } from '../support/until.ts'
import { Recorder } from './recorder.ts'
import { Replay } from './replay.ts'
import { play } from './player.ts'
import { CONFLICT, scenarios, type Scenario } from './scenario.ts'
import type { Sight } from './step.ts'
import type { Plan } from './world.ts'

const { TRACES_SEED, TRACES_RUNS } = process.env
const SEED = TRACES_SEED === undefined ? {} : { seed: Number(TRACES_SEED) }
const RUNS = Number(TRACES_RUNS ?? 100)
const HANDLER_TIMEOUT_MS = 30

onEachDatabase('whatever requests do, on real sockets and databases, is a way through the model', async (t, database) => {
  const { another, kind, observe, taken } = database
  const hasServer = kind === 'postgresql'
  const recorder = new Recorder(t)
  const orm = await another({ pool: { min: 0, max: 10 }, ...hasServer ? { driverOptions: { onPoolCreated: recorder.watchPool } } : {} })
  await refuseCommits(database)
  const held = taken() // by what refuses them on MariaDB
  await orm.em.fork().execute("insert into book (title) values ('taken')")
  const known = await observe('select title from book')
  t.equal(known.length, 1)

  const asked = new Map<string, { scenario: Scenario, leave (): void, runs: number }>()
  let working = 0
  const app = Fastify({ requestIdHeader: 'x-request-id', forceCloseConnections: true })
  t.teardown(() => app.close())
  recorder.watchServer(app)
  await app.register(contextOrm, { orm })
  for (const hasRetry of [false, true]) {
    for (const hasTimeout of [false, true]) {
      const retry = { attempts: 2, delay: () => 0, when: (error: any) => error.code === CONFLICT }
      const options = { config: { orm: hasRetry ? { retry } : {} }, ...hasTimeout ? { handlerTimeout: HANDLER_TIMEOUT_MS } : {} }
      app.post(`/${hasRetry}/${hasTimeout}`, options, async (request, reply) => {
        const { id } = request
        const own = asked.get(id)!
        if (own.runs++ > 0) recorder.note(id, 0, 'runs again')
        working++
        const leaveBehind = (work: Promise<unknown>): void => {
          working++
          work.finally(() => working--)
        }
        const player = { id, recorder, reply, hasTimeout, leave: own.leave, leaveBehind }
        const work = own.runs === 1 ? own.scenario.work : own.scenario.again
        return await recorder.as(id, 0, () => play(player, work, 0)).finally(() => {
          working--
          if (reply.sent) reply.raw.end() // it was hijacked
        })
      })
    }
  }
  const url = await app.listen({ host: '127.0.0.1', port: 0 })

  const agent = new Agent({ keepAlive: false })
  t.teardown(() => agent.destroy())
  const send = (id: string, scenario: Scenario): Promise<void> => new Promise(resolve => {
    const sent = request(`${url}/${scenario.hasRetry}/${scenario.hasTimeout}`, { agent, method: 'POST', headers: { 'x-request-id': id } })
    asked.set(id, { scenario, runs: 0, leave: () => sent.destroy() })
    sent.on('response', response => response.on('error', () => {}).resume())
    sent.on('error', () => {}) // it has left, or the reply broke off
    sent.on('close', resolve)
    sent.end()
  })

  const replays = new Map<string, Replay>()
  const replayOf = ({ hasRetry, hasTimeout, feature }: Scenario): Replay => {
    const name = `${hasRetry} ${hasTimeout} ${feature}`
    const can = new Set(['fail', 'hooks', 'settle by hand', ...hasRetry ? ['retry'] : [], ...hasTimeout ? ['timeout'] : [], ...feature === undefined ? [] : [feature]]) as Plan['can']
    const plan: Plan = { name, pool: kind === 'sqlite' ? 1 : 2, isSingle: kind === 'sqlite', contexts: feature === undefined ? [{}, { branchOf: 0 }] : [{}], mishaps: 6, can }
    const replay = replays.get(name) ?? new Replay(plan, (context, sight) => isSeen(context, sight, hasServer))
    replays.set(name, replay)
    return replay
  }

  let number = 0
  let steps = 0
  const result = await fc.check(fc.asyncProperty(fc.array(scenarios(hasServer), { minLength: 1, maxLength: 4 }), async together => {
    const requests = together.map(scenario => ({ id: `r${++number}`, scenario }))
    await Promise.all(requests.map(({ id, scenario }) => send(id, scenario)))
    await until(() => working === 0 && requests.every(({ id }) => recorder.traces.get(id)?.some(({ sight }) => sight === 'closed')))
    await untilNoneRuns(() => true)
    const kept = new Set((await observe('select title from book')).map(({ title }) => title.split(':', 3).join(':')))
    for (const { id, scenario } of requests) {
      const trace = recorder.traces.get(id) ?? []
      steps += trace.length
      const strange = replayOf(scenario).findStrange(trace, (context, isInside) => kept.has(`${id}:${context}:inside`) || (!isInside && kept.has(`${id}:${context}:outside`)))
      if (strange !== undefined) throw new Error(`${id} ${JSON.stringify(scenario)}: ${strange}`)
    }
    const deadline = AbortSignal.timeout(5000)
    await until(() => taken() === held || deadline.aborted)
    if (taken() !== held) throw new Error(`${JSON.stringify(together)}: ${taken() - held} connections are not back`)
  }), { numRuns: RUNS, ...SEED })
  t.equal(result.failed && `${(result.errorInstance as Error).message}\nTRACES_SEED=${result.seed}`, false)
  t.comment(`${number} requests, ${steps} steps that were seen`)
}, NEEDS_HANDLER_TIMEOUT)

/** What can be seen of a branch, of reads, of rows and of timeouts is their work's, or nobody's. */
function isSeen (context: number, sight: Sight, hasServer: boolean): boolean {
  if (sight === 'read' || sight === 'reads rows' || sight === 'has read its rows' || sight === 'times out') return false
  if (context === 1 && sight.startsWith('told')) return false
  return hasServer || (sight !== 'COMMIT' && sight !== 'connection is back')
}
