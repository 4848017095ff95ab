import contextOrm, { em, type ContextOrmOptions } from 'fastify-context-orm'
import { deleteExpiredKeys } from 'fastify-context-orm/idempotency'
import { createSandbox } from 'fastify-context-orm/testing'

export const used: unknown[] = [contextOrm, createSandbox]
export const options: Pick<ContextOrmOptions, 'transaction'> = { transaction: 'on-query' }

// @ts-expect-error the types are found, and are no `any`
em().noSuchMethod()
// @ts-expect-error those of the second entry as well
createSandbox('none')
// @ts-expect-error and those of the third
deleteExpiredKeys('none')
