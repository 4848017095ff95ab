import { defineEntity, p } from '@mikro-orm/core'

/** Empty, or not there at all, where no session context has set it. */
export const TENANT_VARIABLE = 'app.tenant'

const isOfTenant = `tenant = nullif(current_setting('${TENANT_VARIABLE}', true), '')`

export const Note = defineEntity({
  name: 'Note',
  // forced: otherwise the owner of the table, who may well be the one that the app connects as, would see everything
  rowLevelSecurity: 'force',
  policies: [{ name: 'note_of_tenant', using: isOfTenant, check: isOfTenant }],
  properties: {
    id: p.integer().primary(),
    tenant: p.string().length(100).defaultRaw(`current_setting('${TENANT_VARIABLE}')`).hidden(),
    body: p.string().length(1000)
  }
})
