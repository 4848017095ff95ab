/** `npm run simulate -- --seed 1 --runs 10000`: requests at once, in orders that the seed chooses. Exits with 1 if one of them ends wrongly. */
import { SingleBar } from 'cli-progress'
import { parseArgs } from 'node:util'
import { searchSchedules } from './search-schedules.ts'

const { values } = parseArgs({
  options: { seed: { type: 'string', default: String(Date.now() % 1_000_000) }, runs: { type: 'string', default: '10000' }, path: { type: 'string' } }
})
const [seed, runs] = [Number(values.seed), Number(values.runs)]
if (!Number.isInteger(seed) || !(runs > 0)) {
  console.error('Usage: npm run simulate -- --seed 1 --runs 10000')
  process.exit(2)
}
const bar = new SingleBar({ format: `{bar} {value} of {total} schedules | seed ${seed}`, noTTYOutput: true, notTTYSchedule: 5000 })
bar.start(runs, 0)
const problem = await searchSchedules({ runs, seed, path: values.path, onRun: () => bar.increment() })
bar.stop()
console.log(problem ?? `\nAll ${runs} schedules are as the clients were told.`)
process.exit(problem === undefined ? 0 : 1)
