import { defineEntity, p } from '@mikro-orm/sqlite'

/** The table of the simulation. (Those of the tests would load tap, which ends processes.) */
export const Book = defineEntity({ name: 'Book', properties: { id: p.integer().primary(), title: p.string() } })
