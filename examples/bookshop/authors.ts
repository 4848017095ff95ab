import { em } from 'fastify-context-orm'
import { Author } from './entities.ts'
import { NOT_FOUND } from './errors.ts'
import { pageOf, type Paging } from './paging.ts'

export async function listAuthors (paging: Paging) {
  return pageOf(await em().findAndCount(Author, {}, { ...paging, orderBy: { name: 'asc' } }))
}

export async function getAuthor (id: number) {
  return await em().findOneOrFail(Author, id, { failHandler: () => new NOT_FOUND('author', id) })
}

export function createAuthor (name: string) {
  return em().create(Author, { name })
}

/** The author of that name, who is created if need be, also when two requests do so at once. */
export async function authorNamed (name: string) {
  return await em().upsert(Author, { name }, { onConflictFields: ['name'], onConflictAction: 'ignore' })
}
