import { RequestContext, type EntityManager, type MikroORM } from '@mikro-orm/core'
import { commit, context, em, runInContext } from '../../index.ts'

/**
 * How MikroORM's tests are run: as they are; each in a context of ours; each in one that commits after each flush, as MikroORM does by
 * itself; or each in MikroORM's own RequestContext.
 */
export type Mode = 'plain' | 'context' | 'committing' | 'request-context'

/** Resolves when `test` and what it is in have ended, with the number of statements that went through a context. */
type Surroundings = (orms: MikroORM[], test: () => Promise<void>) => Promise<number>

export const surroundings: Record<Mode, Surroundings> = {
  async plain (_, test) {
    await test()
    return 0
  },

  context: runTest,

  async committing (orms, test) {
    return await runTest(orms, async () => {
      const managers = orms.map(({ em: { name } }) => em(name as never) as EntityManager)
      managers.forEach(commitFlushes)
      await test()
      for (const manager of managers) manager.clear() // what the test has not flushed
    })
  },

  async 'request-context' (orms, test) {
    await RequestContext.create(orms.map(({ em }) => em), test)
    return 0
  }
}

async function runTest (orms: MikroORM[], test: () => Promise<void>): Promise<number> {
  return await runInContext({ orm: orms, name: 'the test' }, async () => {
    const view = context()
    await test()
    return view.reads + view.writes
  })
}

/** The outermost of its `flush()` and `transactional()` end with a commit: after one that was rolled back to its savepoint, of nothing. */
function commitFlushes (manager: EntityManager): void {
  const { flush, transactional } = manager
  let depth = 0
  const within = async <T>(run: () => Promise<T>): Promise<T> => {
    depth++
    try {
      return await run()
    } finally {
      depth--
    }
  }
  const commitOutermost = async (): Promise<void> => { if (depth === 0) await within(() => commit(manager.name as never)) }
  Object.assign(manager, {
    async flush (): Promise<void> {
      await within(() => flush.call(manager))
      await commitOutermost()
    },
    async transactional (...args: Parameters<typeof transactional>): Promise<unknown> {
      try {
        return await within(() => transactional.apply(manager, args))
      } finally {
        await commitOutermost()
      }
    }
  })
}
