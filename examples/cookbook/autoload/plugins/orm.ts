import contextOrm, { type ContextOrmOptions } from 'fastify-context-orm'
import { openBooks } from '../../books.ts'

// as it is: in a plugin of yours that is not wrapped in fastify-plugin, it would be registered for nothing but that plugin
export default contextOrm

/** The options with which @fastify/autoload registers it. */
export const autoConfig: ContextOrmOptions = {
  orm: () => openBooks({ dbName: process.env.BOOKS ?? ':memory:' })
}
