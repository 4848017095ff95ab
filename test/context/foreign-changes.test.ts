import { Collection } from '@mikro-orm/core'
import { atomic, em, runInContext } from '../../index.ts'
import { conflict } from '../support/conflict.ts'
import { Author, Book, onEachDatabase, onSqlite, type Orm } from '../support/databases.ts'

const retry = { attempts: 3, delay: () => 0 }

async function insertOne (orm: Orm): Promise<void> {
  await orm.em.fork().insert(Author, { id: 1, name: 'Austen' })
  await orm.em.fork().insertMany(Book, [{ id: 1, title: 'Emma', author: 1 }, { id: 2, title: 'Sanditon', author: null }])
}

onEachDatabase('an entity of a context around that an attempt changes is an error with its name', async (t, { orm, observe }) => {
  await insertOne(orm)
  const changes: Array<[name: string, (book: any, author: any) => unknown]> = [
    ['Book 1', book => { book.stock-- }],
    ['Book 1', book => { book.author = null }],
    ['(?:Author|Book) 1', (_book, author) => { author.books.removeAll() }],
    ['Book 2', async () => { (await outer!.findOneOrFail(Book, 2)).stock-- }],
    ['Book', () => outer!.create(Book, { title: 'of the outer one' })],
    ['Book 1', book => outer!.remove(book)]
  ]
  let outer: ReturnType<typeof em> | undefined
  for (const run of [runInContext, (options: object, fn: () => unknown) => atomic(fn, options)] as any[]) {
    for (const [name, change] of changes) {
      await runInContext({ orm }, async () => {
        outer = em()
        const author = await em().findOneOrFail(Author, 1, { populate: ['books'] as any })
        const book = await em().findOneOrFail(Book, 1)
        await t.rejects(run({ retry }, async () => {
          await change(book, author)
          await em().nativeUpdate(Book, 1, { stock: 100 })
        }), { code: 'FST_ORM_FOREIGN_CHANGE', message: new RegExp(`has retry, and has changed ${name}(?: \\d)?, which`) }, `${run.name}: ${name}`)
        em().clear()
      })
    }
  }
  t.match(await observe('select stock, author_id from book order by id'), [{ stock: 3, author_id: 1 }, { stock: 3 }], 'and nothing of it is written')
})

onEachDatabase('an entity that an earlier attempt has loaded and a later one changes is an error with its name', async (t, { orm, observe, kind }) => {
  await insertOne(orm)
  let book: any
  await t.rejects(runInContext({ orm, name: 'job', retry }, async () => {
    if (book !== undefined) {
      book.stock--
      return
    }
    book = await em().findOneOrFail(Book, 1)
    book.stock = 50
    await conflict(kind)
  }), { code: 'FST_ORM_FOREIGN_CHANGE', message: /^job has retry, and has changed Book 1, / })
  t.match(await observe('select stock from book'), [{ stock: 3 }, { stock: 3 }])
})

onSqlite('what is pending in a context around before is none of the attempt\'s changes', async (t, { orm, observe }) => {
  await insertOne(orm)
  await runInContext({ orm }, async () => {
    const author = await em().findOneOrFail(Author, 1, { populate: ['books'] as any })
    const book = await em().findOneOrFail(Book, 1)
    book.stock = 5
    ;(author.books as Collection<any>).add(em().create(Book, { title: 'Persuasion' }))
    const outer = em()
    await runInContext({ retry }, () => {
      outer.getReference(Book, 9)
      return em().count(Book)
    })
  })
  t.match(await observe('select title, stock from book order by id'), [{ title: 'Emma', stock: 5 }, { title: 'Sanditon' }, { title: 'Persuasion', stock: 3 }])
})
