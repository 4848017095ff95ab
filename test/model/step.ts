import { copy, type ContextState, type Laws, type World } from './world.ts'

/** What can be seen of a step from outside: see `recorder.ts`. */
export type Sight =
  | 'read' | 'write' | 'write is refused' | 'write fails' | 'hooks are registered' | 'has settled by hand' | 'commit by hand fails'
  | 'enters a savepoint' | 'savepoint fails' | 'savepoint is released' | 'savepoint is left' | 'reads rows' | 'has read its rows' | 'hijacks'
  | 'enters a branch' | 'replies' | 'replies with a stream' | 'replies with an error status' | 'throws' | 'runs again' | 'times out'
  | 'begun' | 'beforeCommit' | 'COMMIT' | 'connection is back' | `settled ${string}` | 'afterCommit' | 'afterRollback'
  | `told ${string}` | 'closed'

/** One thing that happens in a world. */
export interface Step {
  name: string
  /** The context that it happens to. */
  context: number
  sight: Sight | undefined
  /** Need not happen: something goes wrong, or somebody leaves. */
  isMishap: boolean
  next: World
}

/** What may happen next to one context. */
export type Rule = (world: World, number: number, laws: Laws) => Step[]

interface About {
  sight?: Sight | undefined
  isMishap?: boolean
}

/** `change` gets a copy of the context, which it may change, and of the world. */
export function step (
  world: World, context: number, name: string, { sight, isMishap = false }: About, change: (context: ContextState, world: World) => void
): Step {
  const next = copy(world, context)
  change(next.contexts[context]!, next)
  if (isMishap) next.mishaps++
  return { name, context, sight, isMishap, next }
}

export function mayGoWrong (world: World, { plan }: Laws): boolean {
  return world.mishaps < plan.mishaps
}
