import { afterCommit, em } from 'fastify-context-orm'
import { Book } from './entities.ts'

export interface Restock {
  title: string
  copies: number
}

/**
 * Tells the readers only of copies that are there to stay. A process that dies right after the commit tells them
 * nothing, though: what must not be lost is a job of its own, which `enqueue()` makes part of the same commit.
 */
export async function restock ({ title, copies }: Restock, tell: (news: string) => void): Promise<void> {
  const book = await em().upsert(Book, { title }, { onConflictFields: ['title'], onConflictAction: 'ignore' })
  book.stock += copies
  afterCommit(() => tell(`${title} is back: ${book.stock} copies`))
}
