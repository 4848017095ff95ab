/**
 * Mutation testing: the code of a room is changed in one place after another, and each time a test has to fail. MUTANTS names the room. Stryker has
 * the rest, such as `MUTANTS=sql npm run test:mutants -- --mutate lib/sql/tokens.ts`. What survives, and why: test/mutants.md
 *
 * - `tap` starts a process for each mutant, and for each file of tests: for what is quick to load, and is mostly constants.
 * - `warm` stays in one process, and runs the tests that come by a mutant: for what needs MikroORM. See test/mutation/warm-runner.ts
 */
const ROOMS = {
  sql: {
    runner: 'tap',
    mutate: ['lib/sql/*.ts'],
    tests: ['test/sql/{is-read,command,statement,without-values,reads-change-nothing}.test.ts', 'test/drivers/mysql-implicit-commits.test.ts']
  },
  context: {
    runner: 'warm',
    mutate: ['lib/context/settle*.ts', 'lib/context/settling-*.ts'],
    tests: [
      'test/context/*.test.ts', 'test/api/*.test.ts', 'test/simulation/*.test.ts', 'test/databases/{several-databases,shutdown}.test.ts',
      'test/fastify/{aborts,broken-replies,handler-timeouts,hijacked-replies,streams-after-commit,streams-first-chunk}.test.ts'
    ]
  },
  transaction: {
    runner: 'warm',
    mutate: ['lib/transaction/*.ts'],
    tests: [
      'test/transaction/*.test.ts', 'test/mikro-orm/{beside-savepoints,nested-transactions,propagation,session-context,subscribers,locks}.test.ts', 'test/api/{commit,rollback,atomic,run-in-context,retries}.test.ts',
      'test/context/{events,competing-commits,failing-commit}.test.ts', 'test/simulation/*.test.ts', 'test/api/{abort-signals,retries-and-replicas}.test.ts',
      'test/drivers/{connection-waits,replicas,pg-transactions,mysql-transactions,mysql-implicit-commits}.test.ts'
    ]
  }
}

const { MUTANTS = 'sql' } = process.env
const room = ROOMS[MUTANTS]
if (room === undefined) throw new Error(`MUTANTS is ${MUTANTS}. It can be ${Object.keys(ROOMS).join(', ')}`)

// servers take long: they are for what SQLite does not have, and are used where the environment names them
const { TEST_ENGINES = 'sqlite', TEST_DATABASE_URL, TEST_MARIADB_URL } = process.env
if (TEST_DATABASE_URL === undefined) process.env.TEST_WITHOUT_POSTGRES = '1'
if (TEST_MARIADB_URL === undefined) process.env.TEST_WITHOUT_MARIADB = 'needs MariaDB'
// chance would find other mutants each time
Object.assign(process.env, { TEST_ENGINES, STATEMENTS_SEED: '1', SIMULATION_SEED: '1', SIMULATION_RUNS: '200' })
if (room.runner === 'tap') process.env.TAP_BAIL = '1' // one test that fails is enough
if (room.runner === 'warm') process.env.TAP_TIMEOUT = '0' // no test is the last one

const CONDITION = ['-C', 'fastify-context-orm-development']

export default {
  mutate: room.mutate,
  plugins: ['@stryker-mutator/tap-runner', './test/mutation/warm-runner.ts'],
  testRunner: room.runner,
  testRunnerNodeArgs: CONDITION,
  tap: { testFiles: room.tests, nodeArgs: [...CONDITION, '-r', '{{hookFile}}', '{{testFile}}'] },
  warm: { testFiles: room.tests },
  coverageAnalysis: 'perTest',
  concurrency: 1,
  dryRunTimeoutMinutes: 15,
  tempDirName: '.tap/stryker',
  timeoutMS: room.runner === 'warm' ? 10_000 : 2000,
  ignorePatterns: ['bench', 'dist', 'examples', '.tap'],
  disableTypeChecks: false,
  reporters: ['clear-text', 'json', 'progress-append-only'],
  clearTextReporter: { allowColor: false, logTests: false, reportTests: false },
  jsonReporter: { fileName: `.tap/mutants/${MUTANTS}.json` },
  thresholds: { high: 95, low: 85, break: 85 }
}
