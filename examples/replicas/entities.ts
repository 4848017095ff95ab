import { defineEntity, p } from '@mikro-orm/core'

export const Note = defineEntity({
  name: 'Note',
  tableName: 'replicas_note',
  properties: { id: p.integer().primary(), text: p.text() }
})
