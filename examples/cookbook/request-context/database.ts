import { defineEntity, p, type InferEntity } from '@mikro-orm/core'
import { Migration, Migrator } from '@mikro-orm/migrations'
import { EntityRepository, MikroORM } from '@mikro-orm/sqlite'

class UserRepository extends EntityRepository<IUser> {
  async exists (email: string) {
    return await this.count({ email }) > 0
  }
}

export const User = defineEntity({
  name: 'User',
  repository: () => UserRepository,
  properties: { id: p.integer().primary(), email: p.string().unique() }
})

export const Article = defineEntity({
  name: 'Article',
  properties: { id: p.integer().primary(), title: p.string().unique(), author: () => p.manyToOne(User) }
})

export type IUser = InferEntity<typeof User>

class CreateTables extends Migration {
  override up (): void {
    this.addSql('create table user (id integer primary key, email text not null unique)')
    this.addSql('create table article (id integer primary key, title text not null unique, author_id int not null references user (id))')
  }
}

/** The services of MikroORM's guide: the ORM, and repositories of its global EntityManager. */
export async function openServices (dbName: string) {
  const orm = await MikroORM.init({
    entities: [User, Article],
    dbName,
    extensions: [Migrator],
    migrations: { migrationsList: [{ name: 'create-tables', class: CreateTables }], snapshot: false }
  })
  await orm.migrator.up()
  return { orm, em: orm.em, user: orm.em.getRepository(User), article: orm.em.getRepository(Article) }
}

declare module '@fastify/jwt' {
  interface FastifyJWT { payload: { id: number }, user: IUser | { id: number } }
}
