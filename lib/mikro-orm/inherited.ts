import type { EntityManager } from '@mikro-orm/core'
import type { SqlEntityManager } from '@mikro-orm/sql'
import { addCallersLine } from '../errors.ts'
import { withLine } from '../transaction/callers-line.ts'

/** The methods that ours replace, of MikroORM's class or of the app's own (`entityManager` in MikroORM's options). */
export function inherited (em: EntityManager): EntityManager {
  return Object.getPrototypeOf(em)
}

/** MikroORM 7.2.1 passes its errors on in a way that V8 cannot follow. */
export async function execute (this: SqlEntityManager, ...args: Parameters<SqlEntityManager['execute']>): Promise<unknown> {
  try {
    return await withLine(() => (inherited(this) as SqlEntityManager).execute.apply(this, args))
  } catch (error) {
    addCallersLine(error)
    throw error
  }
}
