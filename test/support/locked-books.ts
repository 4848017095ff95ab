import type { TestPool } from './databases.ts'
import type { PoolKind } from './engines/engine.ts'

const LOCK: Record<PoolKind, string> = { postgresql: 'lock table book in access exclusive mode', mariadb: 'lock tables book write' }

/** Makes everybody wait who reads or writes a book. What it returns ends that. */
export async function lockBooks ({ orm, kind }: Pick<TestPool, 'orm' | 'kind'>): Promise<() => Promise<void>> {
  const blocker = orm.em.fork({ useContext: false })
  await blocker.begin()
  await blocker.execute(LOCK[kind])
  return async () => {
    if (kind === 'mariadb') await blocker.execute('unlock tables') // no end of a transaction does it
    await blocker.rollback()
  }
}
