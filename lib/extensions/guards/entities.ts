import type { AnyEntity, EntityManager } from '@mikro-orm/core'
import type { ContextOrmChannels, ContextView, StatementEvent } from '../../../index.ts'
import { listen } from '../../util/listen.ts'
import { at, callersLine, currentView, nameOf, type Findings } from './findings.ts'
import { describeEntity, managerOf, relationsOf, watchEntities } from './internals.ts'
import { Owners } from './owners.ts'

/** Finds entities of one context that another one persists, removes, refers to in what it creates, or loads more by. */
export function guardForeignEntities (findings: Findings): () => void {
  const owners = new Owners()
  const onEntities = (em: EntityManager, method: string, entities: readonly AnyEntity[]): void => {
    const ownerOf = (entity: AnyEntity): ContextView | undefined => owners.of(managerOf(entity))
    const user = owners.of(em) ?? currentView()
    const foreign = user && withRelations(entities).find(entity => (ownerOf(entity) ?? user) !== user)
    if (foreign === undefined || (owners.of(em) === undefined && !owners.isCallers(em))) return
    findings.refuse('foreignEntities', user!, `${nameOf(user!)} uses ${describeEntity(foreign)} of ${nameOf(ownerOf(foreign)!)} in em.${method}() or em.create(), ${at(callersLine())}. Load it where it is used, or refer to it by em.getReference()`)
  }
  const onStatement = ({ context, kind, line }: StatementEvent): void => {
    const user = currentView()
    if (user === undefined || user === context || (kind !== 'read' && kind !== 'write')) return
    findings.tell('foreignEntities', user, `${context.id} ${line}`, `${nameOf(user)} uses an entity of ${nameOf(context)}, or its EntityManager, ${at(line)}. Load entities where they are used, and ask for em() there`)
  }
  const ends = [owners.start(), watchEntities(onEntities), listen<ContextOrmChannels>({ 'fastify-context-orm:statement': onStatement })]
  return () => {
    for (const end of ends) end()
  }
}

/** Finds what is created, persisted or removed too late to be flushed. */
export function guardLostEntities (findings: Findings): () => void {
  const owners = new Owners()
  const ends = [owners.start(), watchEntities((em, method, entities) => {
    const view = owners.of(em) ?? currentView()
    if (view === undefined || entities.length === 0 || !owners.hasEnded(view)) return
    if (owners.of(em) === undefined && !owners.isCallers(em)) return
    findings.refuse('lostEntities', view, `${describeEntity(entities[0]!)} is ${method === 'remove' ? 'removed' : 'created or persisted'} ${at(callersLine())}, when ${nameOf(view)} has ended: nothing flushes it any more. Await it before the end, or do it in a context of its own: runInContext()`)
  })]
  return () => { for (const end of ends) end() }
}

function withRelations (entities: readonly AnyEntity[]): AnyEntity[] {
  return entities.flatMap(entity => [entity, ...relationsOf(entity)])
}
