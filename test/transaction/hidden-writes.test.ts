import { em } from '../../index.ts'
import { Book, onMariadb, onPostgres, onSqlite } from '../support/databases.ts'
import { startServer } from '../support/server.ts'

/** PostgreSQL's functions that write, and have no parenthesis or a well-known name where they are called. */
const SCHEMA = `
  insert into book (title) values ('Emma');
  create function touch(book) returns text language sql as $$ insert into book (title) values ('touched ' || gen_random_uuid()) returning title $$;
  create function quote(int) returns text language sql as $$ insert into book (title) values ('quoted ' || gen_random_uuid()) returning title $$;
  create function lower(book) returns text language sql as $$ insert into book (title) values ('lowered ' || gen_random_uuid()) returning title $$;
  create function is_new(text) returns boolean language plpgsql as $$ begin insert into book (title) values ('checked ' || gen_random_uuid()); return true; end $$;
  create domain dom as text check (is_new(value));
  create view touched as select b.touch from book b`

const SEEN = [
  'select b.touch from book b', 'select (b).touch from book b', 'select quote(1)', 'select lower(b) from book b', "select 'x'::dom", "select cast('x' as dom)", "select dom 'x'",
  'select "b".*, (b)."touch" from book b', 'select lower("b".*) from book "b"'
]

/** Only the database can see these. */
const UNSEEN = ['select "b"."touch" from book "b"', 'select lower("b") from book "b"', 'select * from touched']

onPostgres('what calls a function in disguise is taken back on a route that throws', async (t, { orm, titles }) => {
  await orm.em.fork().execute(SCHEMA)
  const { get } = await startServer(t, { orm }, app => {
    for (const [i, sql] of SEEN.entries()) {
      app.get(`/${i}`, async () => {
        await (em() as any).execute(sql)
        throw new Error('take it back')
      })
    }
  })
  for (const [i, sql] of SEEN.entries()) {
    t.equal((await get(`/${i}`)).status, 500)
    t.strictSame(await titles(), ['Emma'], sql)
  }
})

onPostgres('a readOnly route writes nothing, whatever the statement looks like: the database refuses it', async (t, { orm, titles }) => {
  await orm.em.fork().execute(SCHEMA)
  const statements = [...SEEN, ...UNSEEN]
  const { get, failure } = await startServer(t, { orm }, app => {
    for (const [i, sql] of statements.entries()) app.get(`/${i}`, { config: { orm: { readOnly: true } } }, async () => await (em() as any).execute(sql))
  })
  for (const [i, sql] of statements.entries()) {
    t.match(await failure(get(`/${i}`)), { statusCode: 500, message: /cannot execute INSERT in a read-only transaction/ }, sql)
    t.strictSame(await titles(), ['Emma'], sql)
  }
})

onPostgres('what no reader of the text can see is committed by itself, unless the transaction begins on-query', async (t, { orm, titles }) => {
  await orm.em.fork().execute(SCHEMA)
  const { get } = await startServer(t, { orm }, app => {
    for (const [i, sql] of UNSEEN.entries()) {
      const handler = async (): Promise<void> => {
        await (em() as any).execute(sql)
        throw new Error('take it back')
      }
      app.get(`/on-query/${i}`, { config: { orm: { transaction: 'on-query' } } }, handler)
      app.get(`/on-write/${i}`, handler)
    }
  })
  for (const [i, sql] of UNSEEN.entries()) {
    await get(`/on-query/${i}`)
    t.strictSame(await titles(), ['Emma'], sql)
  }
  for (const [i, sql] of UNSEEN.entries()) {
    const before = await titles()
    await get(`/on-write/${i}`)
    t.not((await titles()).length, before.length, sql)
  }
})

onPostgres('a column in quotes is one, and a select of it begins nothing', async (t, { orm, sent }) => {
  const { get } = await startServer(t, { orm }, app => {
    app.get('/', async () => await (em() as any).execute('select "b"."title", lower("b"."title") as "lower", "b"."id"::text from "book" as "b"'))
    app.get('/builder', async () => await (em() as any).createQueryBuilder(Book, 'b').select(['b.title']).where({ 'lower(b.title)': 'emma' }).execute())
  })
  await get('/')
  await get('/builder')
  t.match(sent, [/^select/, /^select/])
})

onSqlite('a readOnly route is kept by SQLite from its first statement on, and the connection writes again', async (t, { orm, sent, titles }) => {
  const config = { orm: { readOnly: true } } as const
  const { get, failure, post } = await startServer(t, { orm }, app => {
    app.get('/', { config }, async () => await em().count(Book))
    app.get('/lifted', { config }, async () => {
      await em().count(Book)
      await (em() as any).execute('pragma query_only = off')
    })
    app.post('/', async () => em().create(Book, { title: 'Emma' }))
  })
  t.equal(await (await get('/')).text(), '0')
  t.match(sent, ['pragma query_only = on', 'begin', /^select/, 'commit', 'pragma query_only = off'])
  t.match(await failure(get('/lifted')), { code: 'FST_ORM_READ_ONLY' })
  t.equal((await post('/')).status, 200)
  t.strictSame(await titles(), ['Emma'])
})

onPostgres('a readOnly route cannot be made to write by a set, and holds its connection to its end', async (t, { orm, sent, taken }) => {
  const config = { orm: { readOnly: true } } as const
  const { get, failure } = await startServer(t, { orm }, app => {
    app.get('/set', { config }, async () => await (em() as any).execute('set transaction read write'))
    app.get('/held', { config }, async () => ({ before: taken(), count: await em().count(Book), after: taken() }))
  })
  t.match(await failure(get('/set')), { code: 'FST_ORM_READ_ONLY' })
  sent.length = 0
  t.strictSame(await (await get('/held')).json(), { before: 0, count: 0, after: 1 })
  t.match(sent, ['start transaction read only', /^select/, 'commit'])
})

/** MariaDB's: a stored function may write, also one with the name of a function that does not. */
const MARIADB_SCHEMA = [
  "insert into book (title) values ('Emma')",
  "insert into author (name) values ('Jane')", // whose table it is called from: MariaDB refuses to write to that
  "create function touch() returns int modifies sql data begin insert into book (title) values (concat('touched ', uuid())); return 1; end",
  "create function lower(text varchar(20)) returns int modifies sql data begin insert into book (title) values (concat('lowered ', uuid())); return 1; end",
  'create view touched as select touch() as touched from author'
]

onMariadb('a stored function that writes is taken back on a route that throws, also one that is called like a harmless one', async (t, { orm, titles }) => {
  for (const sql of MARIADB_SCHEMA) await orm.em.fork().execute(sql)
  const { dbName } = orm.config.getAll()
  const seen = ['select touch()', 'select `touch`()', `select ${dbName}.lower('x')`, `select \`${dbName}\`.\`lower\`('x')`, 'select name from author where touch() = 1', 'select touch () from author']
  const { failure, get } = await startServer(t, { orm }, app => {
    for (const [i, sql] of seen.entries()) {
      app.get(`/throws/${i}`, async () => {
        t.ok((await (em() as any).execute(sql)).length > 0, sql)
        throw new Error('take it back')
      })
      app.get(`/reads/${i}`, { config: { orm: { readOnly: true } } }, async () => await (em() as any).execute(sql))
    }
    app.get('/unseen', { config: { orm: { readOnly: true } } }, async () => await (em() as any).execute('select * from touched'))
    app.get('/on-query', { config: { orm: { transaction: 'on-query' } } }, async () => {
      await (em() as any).execute('select * from touched')
      throw new Error('take it back')
    })
  })
  for (const [i, sql] of seen.entries()) {
    t.match(await failure(get(`/throws/${i}`)), { message: 'take it back' })
    t.strictSame(await titles(), ['Emma'], sql)
    t.match(await failure(get(`/reads/${i}`)), { statusCode: 500, message: /READ ONLY transaction/ }, sql)
  }
  t.match(await failure(get('/unseen')), { message: /READ ONLY transaction/ }, 'only the database can see this')
  await get('/on-query')
  t.strictSame(await titles(), ['Emma'])
})
