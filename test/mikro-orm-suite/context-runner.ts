import { MikroORM } from '@mikro-orm/core'
import { AbstractSqlDriver } from '@mikro-orm/sql'
import type { Suite, Test } from '@vitest/runner'
import { TestRunner, vi } from 'vitest'
import { surroundings, type Mode } from './surroundings.ts'

const runWithin = surroundings[process.env.SUITE_MODE as Mode]

/** As they are before a test takes them away. */
const { setTimeout, clearTimeout } = globalThis

/** The MikroORMs that the file has made, and not closed. */
const orms = new Set<MikroORM>()
let made = 0

const { createEntityManager, close } = MikroORM.prototype as unknown as Record<'createEntityManager' | 'close', (...args: unknown[]) => unknown>
Object.assign(MikroORM.prototype, {
  createEntityManager (this: MikroORM) {
    const name: string = this.config.get('contextName')
    // a context has one of each name
    if ([...orms].some(orm => orm !== this && orm.config.get('contextName') === name)) this.config.set('contextName', `${name} ${++made}`)
    createEntityManager.call(this)
    if (this.driver instanceof AbstractSqlDriver) orms.add(this)
  },
  close (this: MikroORM, ...args: unknown[]) {
    orms.delete(this)
    return close.apply(this, args)
  }
})

/**
 * Runs each test within what SUITE_MODE names, if there is a MikroORM when it begins. What is before and after each test is outside,
 * as what arranges and looks at rows is in an app's own tests.
 */
export default class ContextRunner extends TestRunner {
  override async onAfterRunSuite (suite: Suite): Promise<void> {
    await super.onAfterRunSuite(suite)
    if (!('filepath' in suite)) return
    orms.clear()
    vi.useRealTimers() // of a test that has failed before it could
  }

  async runTask (test: Test): Promise<void> {
    const fn = TestRunner.getTestFn(test)
    if (orms.size === 0) return await fn()
    const { promise: patience, reject } = Promise.withResolvers<never>()
    const timer = setTimeout(() => reject(new Error('The test or its context does not end')), PATIENCE)
    const statements = await Promise.race([runWithin([...orms], async () => { await fn() }), patience]).finally(() => clearTimeout(timer))
    Object.assign(test.meta, { statements })
  }
}

/** Milliseconds: more than a test may take. */
const PATIENCE = 6_000
