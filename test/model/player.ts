import type { SqlEntityManager } from '@mikro-orm/sql'
import type { FastifyReply } from 'fastify'
import { once } from 'node:events'
import { Readable } from 'node:stream'
import { afterCommit, afterRollback, beforeCommit, commit, em, rollback, runInContext } from '../../index.ts'
import { Book } from '../support/databases.ts'
import type { Death, Recorder } from './recorder.ts'
import { CONFLICT, type Deed, type Work, type Write } from './scenario.ts'
import type { Sight } from './step.ts'

/** A request that is on its way, as its handler sees it. */
export interface Player {
  id: string
  recorder: Recorder
  reply: FastifyReply
  hasTimeout: boolean
  /** Ends the connection of the client. */
  leave (): void
  /** Is to be waited for, though the work does not. */
  leaveBehind (work: Promise<unknown>): void
}

/** Plays the part of the work of one context, and notes what it does. */
export async function play (player: Player, work: Work, context: number): Promise<unknown> {
  const { reply } = player
  const note = (sight: Sight): void => player.recorder.note(player.id, context, sight)
  const fail = (error: unknown): never => {
    note('throws')
    throw error
  }
  try {
    await performAll(player, work, context, note, { hooks: false, beside: false, isInside: false })
  } catch (error) {
    fail(error)
  }
  if (work.end === 'throws' || work.end === 'conflict') fail(Object.assign(new Error('by the work'), work.end === 'conflict' ? { code: CONFLICT } : {}))
  if (work.end === 'replies' && work.stream !== undefined && !reply.sent) {
    note('replies with a stream')
    return Readable.from(chunks(work.stream, player.leave))
  }
  note(work.end as Sight)
  if (work.end === 'replies with an error status' && !reply.sent) reply.code(422)
  return { ok: true }
}

async function * chunks (stream: NonNullable<Work['stream']>, leave: () => void): AsyncGenerator<string> {
  if (stream === 'that fails at once') throw new Error('by the stream')
  yield 'begins\n'
  for await (const { id } of em().stream(Book)) yield `${id}\n`
  if (stream === 'that fails later') throw new Error('by the stream')
  if (stream === 'that the client leaves') leave()
  yield 'ends\n'
}

interface Place {
  /** Some wait: the model has one of each. */
  hooks: boolean
  beside: boolean
  /** Of an `em.transactional()`. */
  isInside: boolean
}

async function performAll (player: Player, { deeds, isStrict }: Pick<Work, 'deeds' | 'isStrict'>, context: number, note: (sight: Sight) => void, place: Place): Promise<void> {
  for (const deed of deeds) {
    try {
      await perform(player, deed, context, note, place)
    } catch (error) {
      if (isStrict) throw error
    }
  }
}

let rows = 0

async function perform (player: Player, deed: Deed, context: number, note: (sight: Sight) => void, place: Place): Promise<void> {
  const { id, recorder, reply, hasTimeout, leave } = player
  const tag = recorder.tag(id, context)
  /** When one ends that is not awaited cannot be seen. */
  const write = async (sql: string, isAwaited: boolean): Promise<void> => {
    try {
      await (em() as unknown as SqlEntityManager).execute(`${sql} ${tag}`)
    } catch (error: any) {
      if (isAwaited) note(error.code === 'FST_ORM_CONTEXT_ENDED' ? 'write is refused' : 'write fails')
      throw error
    }
    if (isAwaited) note('write')
  }
  const row = (): string => `'${id}:${context}:${place.isInside ? 'inside' : 'outside'}:${++rows}'`
  const writes: Record<Write, (isAwaited: boolean) => Promise<void>> = {
    write: isAwaited => write(`insert into book (title) values (${row()})`, isAwaited),
    taken: isAwaited => write("insert into book (title) values ('taken')", isAwaited),
    doomed: isAwaited => write('insert into review (book_id) values (-1)', isAwaited)
  }
  const settle = async (how: 'commit' | 'rollback'): Promise<void> => {
    em() // what has used no database has nothing to settle
    await (how === 'commit' ? commit() : rollback()).then(() => note('has settled by hand'), error => {
      if (error.code !== 'FST_ORM_CONTEXT_ENDED') note('commit by hand fails')
      throw error
    })
  }
  if (typeof deed === 'object') {
    if ('branch' in deed) {
      recorder.note(id, 1, 'enters a branch')
      await runInContext(() => recorder.as(id, 1, () => play(player, deed.branch, 1)))
    } else if ('savepoint' in deed) {
      await useSavepoint(player, deed.savepoint, context, note)
    } else if ('atOnce' in deed) {
      const ended = await Promise.allSettled(deed.atOnce.map((write, i) => writes[write](i > 0)))
      for (const { reason } of ended as PromiseRejectedResult[]) if (reason !== undefined) throw reason
    } else if ('beside' in deed) {
      if (place.beside) return
      place.beside = true
      player.leaveBehind(writes[deed.beside](false).catch(() => {}).then(() => { place.beside = false }))
    } else {
      let first: object | undefined
      for await (const book of em().stream(Book)) {
        if (first === undefined) await performAll(player, { deeds: deed.rows, isStrict: true }, context, note, place)
        first ??= book
      }
    }
    return
  }
  switch (deed) {
    case 'read': await (em() as unknown as SqlEntityManager).execute('select 1'); break
    case 'write': case 'taken': case 'doomed': await writes[deed](true); break
    case 'connection dies': await write(`insert into book (title) select ${row()} from pg_terminate_backend(pg_backend_pid()), pg_sleep(10)`, true); break
    case 'commit': await settle('commit'); break
    case 'rollback': await settle('rollback'); break
    case 'hooks':
      if (place.hooks) break
      em() // what has used no database is told of none
      beforeCommit(() => note('beforeCommit'))
      for (const [after, sight] of [[afterCommit, 'afterCommit'], [afterRollback, 'afterRollback']] as const) {
        after(() => {
          place.hooks = false
          note(sight)
        })
      }
      place.hooks = true
      note('hooks are registered')
      break
    case 'client leaves': leave(); break
    case 'client leaves, and its request is ended':
      leave()
      if (!reply.raw.closed) await once(reply.raw, 'close')
      break
    case 'hijack':
      if (reply.sent || reply.raw.closed) break
      reply.hijack()
      note('hijacks')
      break
    case 'answer': if (reply.sent && !reply.raw.writableEnded) reply.raw.end(); break
    case 'timeout': if (hasTimeout && !reply.raw.closed) await once(reply.raw, 'close'); break
    default: recorder.letDie(id, deed satisfies Death)
  }
}

async function useSavepoint (player: Player, work: Work, context: number, note: (sight: Sight) => void): Promise<void> {
  const place = { hooks: false, beside: false, isInside: false }
  try {
    await em().transactional(async () => {
      place.isInside = true
      note('enters a savepoint')
      await performAll(player, work, context, note, place)
      if (work.end === 'throws') throw new Error('by the work in a savepoint')
    })
  } catch (error) {
    note(place.isInside ? 'savepoint is left' : 'savepoint fails')
    throw error
  }
  note('savepoint is released')
}
