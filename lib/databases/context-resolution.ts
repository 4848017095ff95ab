import type { EntityManager, MikroORM } from '@mikro-orm/core'
import { currentContext } from '../context/context.ts'
import { delegateToContexts } from '../mikro-orm/entity-manager.ts'
import { giveLocksWords } from '../mikro-orm/lock-clause.ts'
import { checkMikroOrm } from '../mikro-orm/internals.ts'
import { logServers } from '../mikro-orm/server-log.ts'

interface Installed {
  users: number
  uninstall (): void
}

const installed = new WeakMap<MikroORM, Installed>()

/**
 * Makes the global `orm.em`, repositories and `@Transactional` find the EntityManager of the current context, through
 * MikroORM's option `context`, for as long as any app uses that MikroORM. Outside of contexts, what was there before
 * goes on. Returns what undoes it.
 */
export function resolveInContexts (orm: MikroORM): () => void {
  const installation = installed.get(orm) ?? install(orm)
  installation.users++
  return () => {
    if (--installation.users > 0) return
    installed.delete(orm)
    installation.uninstall()
  }
}

/** Resolves for as long as that MikroORM lives: for contexts outside of any app. */
export function keepResolvingInContexts (orm: MikroORM): void {
  if (kept.has(orm)) return
  kept.add(orm)
  resolveInContexts(orm)
}

const kept = new WeakSet<MikroORM>()

function install (orm: MikroORM): Installed {
  checkMikroOrm(orm)
  const previous = orm.config.get('context')
  const resolve = (name: string): EntityManager | undefined => currentContext()?.resolve(orm) ?? previous(name)
  orm.config.set('context', resolve)
  const undelegate = delegateToContexts(orm)
  const takeLocksWords = giveLocksWords(orm)
  const stopLoggingServers = logServers(orm)
  const installation: Installed = {
    users: 0,
    uninstall () {
      undelegate()
      takeLocksWords()
      stopLoggingServers()
      if (orm.config.get('context') === resolve) orm.config.set('context', previous)
    }
  }
  installed.set(orm, installation)
  return installation
}
