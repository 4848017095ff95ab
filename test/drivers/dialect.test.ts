import { Platform } from '@mikro-orm/core'
import { PostgreSqlPlatform } from '@mikro-orm/postgresql'
import { BaseMySqlPlatform, SqlitePlatform } from '@mikro-orm/sql'
import t from 'tap'
import { dialectOf } from '../../lib/drivers/dialect.ts'

t.test('a database\'s dialect is that of its platform', async t => {
  t.equal(dialectOf(new PostgreSqlPlatform()), 'postgresql')
  t.equal(dialectOf(new SqlitePlatform()), 'sqlite')
  t.equal(dialectOf(new BaseMySqlPlatform()), 'mysql')
  t.equal(dialectOf(new (class extends Platform {})()), 'unknown')
})
