import { MikroORM } from '@mikro-orm/postgresql'
import { Book, Job } from './entities.ts'

export async function openDatabase (url: string): Promise<MikroORM> {
  const orm = await MikroORM.init({ entities: [Job, Book], clientUrl: url })
  try {
    // safe: nothing is dropped, not even what the database has besides
    await orm.schema.update({ safe: true })
    return orm
  } catch (error) {
    await orm.close()
    throw error
  }
}
