import type { MikroORM } from '@mikro-orm/core'
import { Author, Book } from './entities.ts'

const SHELVES: Record<string, string[]> = {
  'Jane Austen': ['Emma', 'Persuasion', 'Pride and Prejudice'],
  'Charlotte Brontë': ['Jane Eyre'],
  'Mary Shelley': ['Frankenstein'],
  'Herman Melville': ['Moby-Dick'],
  'Jules Verne': ['Around the World in Eighty Days', 'Twenty Thousand Leagues Under the Seas']
}

const COPIES = 5

/** Puts the first books into a shop that has none. No request is being handled here, so it forks `orm.em` itself. */
export async function fillShelves (orm: MikroORM): Promise<void> {
  const em = orm.em.fork()
  if (await em.count(Book) > 0) return
  for (const [name, titles] of Object.entries(SHELVES)) {
    const author = em.create(Author, { name })
    for (const title of titles) em.create(Book, { title, author, stock: COPIES })
  }
  await em.flush()
}
