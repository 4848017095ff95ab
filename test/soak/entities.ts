import { defineEntity, p } from '@mikro-orm/core'

/** What a part of a request has written. Nothing keeps a part from being written twice: that is for the soak to find. */
export const Entry = defineEntity({
  name: 'Entry',
  properties: {
    id: p.integer().primary(),
    request: p.string(),
    part: p.string().$type<Part>()
  }
})

/** `main` stands or falls with the request, `branch` by itself, and `inner` never stands. */
export type Part = 'main' | 'branch' | 'inner'

/** Has one row, which nobody can insert again. */
export const Taken = defineEntity({
  name: 'Taken',
  properties: { name: p.string().primary() }
})

export const TAKEN = 'taken'
