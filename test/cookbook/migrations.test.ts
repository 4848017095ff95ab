import { Migration } from '@mikro-orm/migrations'
import t from 'tap'
import { buildApp } from '../../examples/cookbook/migrations/app.ts'
import { migrations, openDatabase } from '../../examples/cookbook/migrations/database.ts'
import { createDatabase } from '../../examples/support/postgres-database.ts'
import { clientOf } from '../support/cookbook.ts'
import { withoutPostgres } from '../support/without-servers.ts'

t.test('an app starts when its migrations are done (PostgreSQL)', { skip: withoutPostgres }, async t => {
  const { url, query } = await createDatabase(t)
  const { post } = await clientOf(t, await buildApp(url))
  t.match(await post('/books', { title: 'Emma' }), { status: 200, body: { id: 1, title: 'Emma', stock: 3 } })
  t.match(await query('select name from mikro_orm_migrations order by id'), [{ name: 'create-books' }, { name: 'add-stock' }])
})

t.test('one of several instances that start at once migrates (PostgreSQL)', { skip: withoutPostgres }, async t => {
  const { url, query } = await createDatabase(t)
  const apps = await Promise.all([1, 2, 3, 4].map(() => buildApp(url)))
  for (const app of apps) t.match(await (await clientOf(t, app)).post('/books', { title: String(apps.indexOf(app)) }), { status: 200 })
  t.equal((await query('select * from mikro_orm_migrations')).length, 2)
})

t.test('no migration is done if one fails (PostgreSQL)', { skip: withoutPostgres }, async t => {
  class Broken extends Migration {
    override up (): void {
      this.addSql('alter table nowhere add column stock int')
    }
  }
  const { url, query } = await createDatabase(t)
  await t.rejects(openDatabase(url, [...migrations, { name: 'broken', class: Broken }]), /nowhere/)
  t.strictSame(await query("select tablename from pg_tables where schemaname = 'public' and tablename <> 'mikro_orm_migrations'"), [])
  t.strictSame(await query('select from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()'), [], 'nothing is left open')
  const { post } = await clientOf(t, await buildApp(url))
  t.match(await post('/books', { title: 'Emma' }), { status: 200 }, 'and it can be mended')
})
