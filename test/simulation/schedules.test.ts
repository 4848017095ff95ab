import t from 'tap'
import { searchSchedules } from './search-schedules.ts'

const { SIMULATION_SEED, SIMULATION_RUNS = 2000 } = process.env

t.test('in whatever order a database answers and others interfere, clients are told what is so', async t => {
  const seed = Number(SIMULATION_SEED ?? Date.now() % 1_000_000)
  t.comment(`seed ${seed}`)
  t.equal(await searchSchedules({ runs: Number(SIMULATION_RUNS), seed }), undefined)
})
