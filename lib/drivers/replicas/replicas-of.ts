import type { AbstractSqlConnection, SqlEntityManager } from '@mikro-orm/sql'
import type { Driver } from '../driver.ts'
import { Replicas } from './replicas.ts'

const known = new WeakMap<AbstractSqlConnection, Replicas>()

/** Those that are to be read from, by MikroORM's options `replicas` and `preferReadReplicas` and ours; `undefined` if there are none. */
export function replicasOf (em: SqlEntityManager, driver: Driver, { replica }: { readonly replica?: boolean | undefined }): Replicas | undefined {
  if (replica === false || (em.config.get('replicas')?.length ?? 0) === 0 || !em.config.get('preferReadReplicas')) return undefined
  const primary: AbstractSqlConnection = em.getConnection('write')
  if (em.getConnection('read') === primary) return undefined // as in a sandbox
  let replicas = known.get(primary)
  if (replicas === undefined) {
    replicas = new Replicas(em, driver)
    known.set(primary, replicas)
  }
  return replicas
}
