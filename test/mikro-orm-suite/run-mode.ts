import { cpSync, existsSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { startVitest, type TestModule } from 'vitest/node'
import { keyOf, type Result, type Results } from './compare.ts'
import { decorators, installedPackages, root } from './packages.ts'
import type { Mode } from './surroundings.ts'

export interface Run {
  checkout: string
  files: string[]
  /** How many files run at once. */
  workers: number
  /** What the tests find in their environment. */
  env: Record<string, string>
  onFile: () => void
}

/** A process keeps what its files have loaded: some ten megabytes of each. */
const AT_ONCE = 100

/** Runs files of MikroORM's tests, in a copy: they write files, and expect to be where they are. */
export async function runMode (mode: Mode, run: Run): Promise<Results> {
  const copy = mkdtempSync(join(tmpdir(), 'fastify-context-orm-suite-'))
  const remove = (): void => rmSync(copy, { recursive: true, force: true })
  process.once('exit', remove) // also after Ctrl-C
  const before = process.cwd()
  const results: Results = { tests: new Map(), notLoaded: new Map() }
  try {
    cpSync(join(run.checkout, 'tests'), join(copy, 'tests'), { recursive: true })
    for (const name of ['packages', 'node_modules', 'package.json']) {
      if (existsSync(join(run.checkout, name))) symlinkSync(join(run.checkout, name), join(copy, name))
    }
    process.chdir(copy)
    for (let i = 0; i < run.files.length; i += AT_ONCE) {
      await runFiles(mode, { ...run, files: run.files.slice(i, i + AT_ONCE) }, copy, results)
    }
    return results
  } finally {
    process.chdir(before)
    remove()
    process.off('exit', remove)
  }
}

async function runFiles (mode: Mode, { checkout, files, workers, env, onFile }: Run, copy: string, results: Results): Promise<void> {
  const vitest = await startVitest('test', files, {
    config: false,
    root: copy,
    watch: false,
    run: true,
    globals: true,
    pool: 'forks',
    isolate: false,
    maxWorkers: workers,
    runner: join(import.meta.dirname, 'context-runner.ts'),
    setupFiles: [join(copy, 'tests', 'setup.ts'), join(import.meta.dirname, 'set-up.ts')],
    clearMocks: true,
    include: ['tests/**/*.test.ts'],
    testTimeout: 4_000, // in contexts, some wait for a connection for ever
    hookTimeout: 30_000,
    silent: true,
    update: false,
    dangerouslyIgnoreUnhandledErrors: true,
    env: { ...env, SUITE_MODE: mode },
    server: { deps: { external: [new RegExp(`^(file://)?${root}(lib/|index\\.ts)`)] } },
    reporters: [{
      onTestModuleEnd (module) {
        collect(module, relative(copy, module.moduleId), results)
        onFile()
      }
    }]
  }, { plugins: [installedPackages(checkout), decorators], esbuild: false })
  await vitest.close()
}

function collect (module: TestModule, file: string, { tests, notLoaded }: Results): void {
  for (const test of module.children.allTests()) {
    const { state, errors } = test.result()
    let key = keyOf(file, test.fullName)
    while (tests.has(key)) key += ' (again)'
    tests.set(key, {
      state: state === 'passed' || state === 'failed' ? state : 'skipped',
      error: errors?.[0]?.message.split('\n')[0],
      statements: (test.meta() as Partial<Result>).statements ?? 0
    })
  }
  const [error] = module.errors()
  if (error !== undefined) notLoaded.set(file, error.message.split('\n')[0]!)
}
