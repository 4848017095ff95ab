import { createSandbox } from '../testing.ts'
import type { Bench } from './environment.ts'
import { showStatements } from './goals.ts'
import { openOrm } from './open-orm.ts'
import { median } from './ratios.ts'
import type { Result } from './result.ts'

/** Of each, in each round: enough that one pause of the machine is no matter. */
const TIMES = 300

/** What an empty sandbox may cost beyond the `BEGIN` and the `ROLLBACK` of its transaction. */
const ROUND_TRIPS = 2

/** Making a sandbox and rolling it back, beside `BEGIN` and `ROLLBACK` by MikroORM, and a round trip. */
export async function measureSandbox ({ database, rounds, progress }: Bench): Promise<Result> {
  const title = 'An empty test sandbox'
  progress.start(title, rounds + 1)
  const clientUrl = await database.createDatabase()
  const orm = await openOrm(database.engine, { clientUrl, entities: [], discovery: { warnWhenNoEntities: false }, pool: { min: 1, max: 1 } })
  const steps = {
    'a round trip': async () => { await orm.em.getConnection().execute('select 1') },
    'BEGIN and ROLLBACK': async () => {
      const em = orm.em.fork()
      await em.begin()
      await em.rollback()
    },
    'a sandbox': async () => {
      const sandbox = await createSandbox(orm)
      await sandbox.rollback()
    }
  }
  try {
    progress.step('warms up')
    for (const step of Object.values(steps)) await microseconds(step)
    await database.takeStatements(clientUrl)
    await steps['a sandbox']()
    const statements = showStatements(await database.takeStatements(clientUrl))

    const taken: Record<string, number[]> = {}
    for (let round = 0; round < rounds; round++) {
      progress.step(`round ${round + 1}`)
      for (const [name, step] of Object.entries(steps)) (taken[name] ??= []).push(await microseconds(step))
    }
    const more = taken['a sandbox']!.map((sandbox, i) => (sandbox - taken['BEGIN and ROLLBACK']![i]!) / taken['a round trip']![i]!)
    return {
      title,
      table: [['', 'µs', 'statements'], ...Object.entries(taken).map(([name, figures]) => [name, median(figures).toFixed(0), name === 'a sandbox' ? statements : ''])],
      goals: [{
        goal: `a sandbox takes less than ${ROUND_TRIPS} round trips more than BEGIN and ROLLBACK`,
        measured: `${median(more).toFixed(2)} (${Math.min(...more).toFixed(2)} to ${Math.max(...more).toFixed(2)})`,
        isReached: median(more) < ROUND_TRIPS
      }, {
        goal: 'a sandbox sends begin, rollback',
        measured: statements,
        isReached: statements === 'begin, rollback'
      }],
      data: { taken }
    }
  } finally {
    await orm.close(true)
  }
}

/** The median of single ones. */
async function microseconds (step: () => Promise<void>): Promise<number> {
  const taken: number[] = []
  for (let i = 0; i < TIMES; i++) {
    const start = performance.now()
    await step()
    taken.push((performance.now() - start) * 1000)
  }
  return median(taken)
}
