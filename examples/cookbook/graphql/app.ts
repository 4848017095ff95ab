import Fastify, { type FastifyInstance } from 'fastify'
import { GraphQLError } from 'graphql'
import mercurius, { type IResolvers, type MercuriusContext } from 'mercurius'
import contextOrm, { em, type ContextOrmOptions } from 'fastify-context-orm'
import { Author, Book, type IBook } from '../books.ts'
import { formatErrors, shouldCommit } from './errors.ts'

const schema = `
  type Author { id: Int!, name: String! }
  type Book { id: Int!, title: String!, stock: Int!, author: Author, price: Int }
  type Query { books: [Book!]! }
  type Mutation { addBook(title: String!, author: String!): Book }
`

/** A savepoint: a field that fails leaves nothing. And a flush: its constraints are checked, and its ids are there. */
export function mutation<Args> (change: (args: Args) => Promise<unknown>) {
  return async (_root: unknown, args: Args, { reply }: MercuriusContext) => {
    reply.request.mutates = true
    try {
      return await em().transactional(() => change(args))
    } catch (error) {
      em().clear()                                        // entities that it has changed, and that are not as in the database
      throw error
    }
  }
}

const resolvers: IResolvers = {
  Query: {
    books: () => em().find(Book, {}, { orderBy: { title: 'asc' } })
  },
  Mutation: {
    addBook: mutation(async ({ title, author: name }: { title: string, author: string }) => {
      const author = await em().upsert(Author, { name }, { onConflictFields: ['name'], onConflictAction: 'ignore' })
      return em().create(Book, { title, author })
    })
  },
  Book: {
    price: ({ title }: IBook) => {
      if (title === 'Priceless') throw new GraphQLError('It has no price')
      return 10
    }
  }
}

/** One query for the authors of all books. */
const loaders = {
  Book: {
    author: async (queries: Array<{ obj: IBook }>) => {
      const books = queries.map(({ obj }) => obj)
      await em().populate(books, ['author'])
      return books.map(({ author }) => author)
    }
  }
}

export function buildApp ({ orm }: Pick<ContextOrmOptions, 'orm'>): FastifyInstance {
  const app = Fastify()
  app.decorateRequest('mutates', false)
  app.decorateRequest('isRefused', false)
  app.register(contextOrm, { orm, shouldCommit })
  app.register(mercurius, { schema, resolvers, loaders, errorFormatter: formatErrors })
  return app
}
