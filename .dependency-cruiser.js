/**
 * The rooms of lib/, from the top down: a file may import from its own room and from those below it, types included. What is
 * built on the public surface only (lib/extensions/) is above all of them.
 */
export const ROOMS = [
  'extensions', 'fastify', 'api', 'sandbox', 'databases', 'context', 'mikro-orm', 'transaction', 'sql', 'drivers', 'options', 'util'
]

/** The engines know nothing of each other. */
const ENGINES = ['postgresql', 'pglite', 'sqlite', 'mysql']

const upwards = ROOMS.slice(1).map((room, i) => ({
  name: `${room}-imports-downwards`,
  comment: `lib/${room}/ may import from the rooms below it only: give it an interface of its own, which the room above implements.`,
  severity: 'error',
  from: { path: `^lib/${room}/` },
  to: { path: `^lib/(?:${ROOMS.slice(0, i + 1).join('|')})/|^(?:index|testing|idempotency|inspector|guards|observability)\\.ts$` }
}))

const engines = ENGINES.map(engine => ({
  name: `${engine}-is-alone`,
  comment: `What lib/drivers/${engine}/ shares with other engines belongs into lib/drivers/.`,
  severity: 'error',
  from: { path: `^lib/drivers/${engine}/` },
  to: { path: `^lib/drivers/(?:${ENGINES.filter(other => other !== engine).join('|')})/` }
}))

export default {
  forbidden: [
    {
      name: 'no-circle',
      comment: 'Two files that need one another are one file, or lack an interface between them.',
      severity: 'error',
      from: {},
      to: { circular: true }
    },
    {
      name: 'no-orphan',
      comment: 'Nobody imports it.',
      severity: 'error',
      from: { orphan: true, path: '^lib/' },
      to: {}
    },
    {
      name: 'a-room-for-every-file',
      comment: 'Only errors.ts lies in lib/ itself.',
      severity: 'error',
      from: {},
      to: { path: '^lib/[^/]+$', pathNot: '^lib/errors\\.ts$' }
    },
    {
      name: 'errors-are-below-all',
      comment: 'lib/errors.ts imports nothing of ours.',
      severity: 'error',
      from: { path: '^lib/errors\\.ts$' },
      to: { path: '^lib/' }
    },
    {
      name: 'no-bench-in-lib',
      comment: 'The package has neither tests nor the benchmark.',
      severity: 'error',
      from: { path: '^lib/' },
      to: { path: '^(?:test|bench|examples|tools)/' }
    },
    {
      name: 'the-model-has-the-table-only',
      comment: 'The model of settling would otherwise say what the library does, whatever that is.',
      severity: 'error',
      from: { path: '^test/model/', pathNot: '^test/model/(?:recorder|player|traces\\.test)\\.ts$' },
      to: { path: '^(?:lib/|index\\.ts)', pathNot: '^lib/context/settlement\\.ts$' }
    },
    {
      name: 'no-sandbox-in-production',
      comment: 'Only testing.ts loads lib/sandbox/: an app that does not test has none of it.',
      severity: 'error',
      from: { path: '^lib/(?!sandbox/)|^index\\.ts$' },
      to: { path: '^lib/sandbox/' }
    },
    {
      name: 'extensions-use-the-public-surface',
      comment: 'What an extension needs and index.ts does not have is missing there for everybody. Errors, tools, the check of options and what reads the text of statements are shared.',
      severity: 'error',
      from: { path: '^lib/extensions/([^/]+)/' },
      to: { path: '^(?:lib|testing\\.ts)', pathNot: '^lib/(?:extensions/$1|util|sql)/|^lib/(?:errors|options/check-options|drivers/dialect)\\.ts$' }
    },
    {
      name: 'no-extension-in-the-core',
      comment: 'Only the entry point of an extension loads it.',
      severity: 'error',
      from: { path: '^lib/(?!extensions/)|^(?:index|testing)\\.ts$' },
      to: { path: '^lib/extensions/' }
    },
    ...upwards,
    ...engines
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    doNotFollow: { path: 'node_modules' },
    includeOnly: '^(?:lib|bench|test|tools|examples|index\\.ts|testing\\.ts|idempotency\\.ts|inspector\\.ts|guards\\.ts|observability\\.ts)'
  }
}
