import { defineEntity, p } from '@mikro-orm/core'

/** What a request has done. Nothing keeps it from being there twice: that is for the ledger to find. */
export const Charge = defineEntity({
  name: 'Charge',
  properties: {
    id: p.integer().primary(),
    key: p.string(),
    nonce: p.string()
  }
})

export const KINDS = ['postgresql', 'mariadb'] as const
export type Kind = typeof KINDS[number]

/** Where a server ends its process at the latest: in the transaction, or when it is committed and nobody has been told. */
export const KILLS = ['before-commit', 'after-commit'] as const
