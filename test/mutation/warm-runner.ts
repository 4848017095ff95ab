/**
 * A test runner for Stryker that stays warm: tap, Fastify, MikroORM and the tests are loaded once, and each mutant runs those tests of them that come
 * by it, the quickest first. To load them again takes longer than most mutants live.
 */
import type { StrykerOptions } from '@stryker-mutator/api/core'
import type { DryRunResult, MutantRunOptions, MutantRunResult, TestResult, TestRunner } from '@stryker-mutator/api/test-runner'
import fc from 'fast-check'
import { globSync, readFileSync, writeFileSync } from 'node:fs'
import { registerHooks } from 'node:module'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Test } from 'tap'
import { collected, type CollectedTest } from './collected-tests.ts'

interface Options extends StrykerOptions {
  warm: { testFiles: string[] }
}

/** What the instrumented code looks at. */
interface Instruments {
  activeMutant?: string | undefined
  currentTestId?: string | undefined
  hitCount?: number | undefined
  hitLimit?: number | undefined
  mutantCoverage?: { static: Record<string, number>, perTest: Record<string, Record<string, number>> }
}

const instruments: Instruments = (globalThis as { __stryker__?: Instruments }).__stryker__ ??= {}

/** How long each test takes, for the processes that come after this one. */
const TIMES = '.mutants-times.json'
const LEAST_TIME_MS = 3000
const TIME_FACTOR = 5

class WarmRunner implements TestRunner {
  static readonly inject = ['options'] as const
  readonly #files: string[]
  #tests: CollectedTest[] | undefined
  #root!: Test
  #hasRunMutant = false
  #isSpoilt = false

  constructor (options: Options) {
    this.#files = options.warm.testFiles.flatMap(pattern => globSync(pattern).sort())
  }

  capabilities (): { reloadEnvironment: boolean } {
    return { reloadEnvironment: false }
  }

  async dryRun (): Promise<DryRunResult> {
    const tests: TestResult[] = []
    const times: Record<string, number> = {}
    for (const test of await this.#load()) {
      instruments.currentTestId = test.id
      const before = performance.now()
      const failureMessage = await this.#run(test)
      instruments.currentTestId = undefined
      const result = { id: test.id, name: test.id, timeSpentMs: times[test.id] = Math.ceil(performance.now() - before) }
      tests.push(failureMessage === undefined ? { ...result, status: 0 } : { ...result, status: 1, failureMessage })
    }
    writeFileSync(TIMES, JSON.stringify(times))
    return { status: 'complete' as never, tests, mutantCoverage: instruments.mutantCoverage! }
  }

  async mutantRun ({ activeMutant, mutantActivation, testFilter, hitLimit }: MutantRunOptions): Promise<MutantRunResult> {
    if (this.#isSpoilt) throw new Error('An earlier mutant has spoilt the process, and Stryker starts another one')
    const times: Record<string, number> = JSON.parse(readFileSync(TIMES, 'utf8'))
    if (mutantActivation === 'static') instruments.activeMutant = activeMutant.id
    const all = await this.#load()
    const chosen = all.filter(({ id }) => testFilter?.includes(id) ?? true).sort((a, b) => times[a.id]! - times[b.id]!)
    const isFirst = !this.#hasRunMutant
    this.#hasRunMutant = true
    for (const [i, test] of chosen.entries()) {
      Object.assign(instruments, { activeMutant: activeMutant.id, hitCount: 0, hitLimit })
      const failureMessage = await this.#run(test, Math.max(LEAST_TIME_MS, times[test.id]! * TIME_FACTOR))
      if (mutantActivation !== 'static') instruments.activeMutant = undefined
      if (failureMessage === undefined) continue
      // what an earlier mutant has left behind must not count as this one's end
      if (mutantActivation !== 'static') this.#isSpoilt = await this.#run(test) !== undefined
      if (this.#isSpoilt && !isFirst) throw new Error('An earlier mutant has spoilt the process, and Stryker starts another one')
      return { status: 'killed' as never, killedBy: [test.id], failureMessage, nrOfTests: i + 1 }
    }
    return { status: 'survived' as never, nrOfTests: chosen.length }
  }

  async #load (): Promise<CollectedTest[]> {
    if (this.#tests !== undefined) return this.#tests
    this.#root = await rootTest()
    fc.configureGlobal({ endOnFailure: true }) // that something fails is enough
    const own = new URL('collected-tests.ts', import.meta.url).href
    registerHooks({ resolve: (specifier, context, next) => specifier === 'tap' ? { url: own, shortCircuit: true } : next(specifier, context) })
    for (const file of this.#files) await import(pathToFileURL(resolve(file)).href)
    this.#tests = collected
    return collected
  }

  /** Resolves with why it has failed; with `undefined` if it has not. */
  async #run ({ id, options, run }: CollectedTest, timeout = 60_000): Promise<string | undefined> {
    const results = await this.#root.test(id, { ...options, timeout }, run)
    if (results?.ok !== false) return undefined
    const [first] = results.failures
    return String(first?.fullname ?? first?.name ?? 'It has failed')
  }
}

async function rootTest (): Promise<Test> {
  // tap tells what has started its process how long it takes, which Stryker does not understand
  const send = process.send!.bind(process) as (...args: unknown[]) => boolean
  process.send = (...args: unknown[]) => typeof args[0] !== 'string' || send(...args)
  const { Test } = await import('tap')
  const root = new Test({ name: 'mutants', timeout: 0 })
  root.resume()
  root.runMain(() => {})
  return root as unknown as Test
}

export const strykerPlugins = [{ kind: 'TestRunner', name: 'warm', injectableClass: WarmRunner }]

export const strykerValidationSchema = { properties: { warm: { type: 'object' } } }
