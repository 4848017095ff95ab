import { defineEntity, p, type InferEntity } from '@mikro-orm/core'

export const Job = defineEntity({
  name: 'Job',
  indexes: [{ properties: ['state', 'runAt'] }],
  properties: {
    id: p.integer().primary(),
    kind: p.string().length(100),
    payload: p.json<unknown>(),
    state: p.enum(['waiting', 'done', 'failed']).default('waiting'),
    attempts: p.integer().default(0),
    /** Nobody takes the job before that. */
    runAt: p.datetime().defaultRaw('now()'),
    finishedAt: p.datetime().nullable(),
    lastError: p.text().nullable()
  }
})

/** What an attempt at a job has to know of it. */
export type ClaimedJob = Pick<InferEntity<typeof Job>, 'id' | 'kind' | 'payload' | 'attempts'>

export const Book = defineEntity({
  name: 'Book',
  properties: {
    id: p.integer().primary(),
    title: p.string().length(200).unique(),
    stock: p.integer().default(0)
  }
})
