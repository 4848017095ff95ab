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

/** `main`, `second` and `third` stand or fall with the request, `branch` by itself, and `inner` never stands. */
export const PARTS = ['main', 'second', 'third', 'branch', 'inner'] as const
export type Part = typeof PARTS[number]

/** Has one row, which nobody can insert again. */
export const Taken = defineEntity({
  name: 'Taken',
  properties: { name: p.string().primary() }
})

export const TAKEN = 'taken'
