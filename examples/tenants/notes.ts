import type { SqlEntityManager } from '@mikro-orm/postgresql'
import { em } from 'fastify-context-orm'
import { Note } from './entities.ts'
import { NOT_FOUND } from './errors.ts'

// None of these says a word about tenants: the database shows each of them its own rows only.

export async function listNotes () {
  return await em().find(Note, {}, { orderBy: { id: 'asc' } })
}

export async function getNote (id: number) {
  return await em().findOneOrFail(Note, id, { failHandler: () => new NOT_FOUND(id) })
}

/** The database fills in the tenant. */
export function createNote (body: string) {
  return em().create(Note, { body })
}

export async function changeNote (id: number, body: string) {
  const note = await getNote(id)
  note.body = body
  return note
}

export async function deleteNote (id: number) {
  if (await em().nativeDelete(Note, { id }) === 0) throw new NOT_FOUND(id)
}

export async function searchNotes (text: string) {
  return await sql().createQueryBuilder(Note).where({ body: { $ilike: `%${text}%` } }).orderBy({ id: 'asc' }).getResult()
}

export async function countNotes () {
  const [counts] = await sql().execute('select count(*)::int as notes, coalesce(sum(length(body)), 0)::int as characters from note')
  return counts
}

/** In a project of one's own, `em()` has this type by itself: see `Register` of fastify-context-orm. */
function sql (): SqlEntityManager {
  return em() as SqlEntityManager
}
