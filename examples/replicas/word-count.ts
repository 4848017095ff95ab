import type { MikroORM } from '@mikro-orm/core'
import { em, runInContext } from 'fastify-context-orm'
import { Note } from './entities.ts'

/** As a worker does it with the `after` of a job: it reads from a replica that has what the job is about. */
export async function countWords (orm: MikroORM, after: string | undefined): Promise<number> {
  return await runInContext({ orm, after, name: 'count words' }, async () => {
    const notes = await em().find(Note, {})
    return notes.reduce((sum, { text }) => sum + text.split(/\s+/).length, 0)
  })
}
