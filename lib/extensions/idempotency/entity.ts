import { BlobType, defineEntity, p, type EntityProperty, type EntitySchema, type Platform, type PrimaryKeyProp } from '@mikro-orm/core'
import { isMysql } from './dialects.ts'

/** A key that a request has brought, with the reply to it. */
export interface IdempotencyKeyRow {
  [PrimaryKeyProp]?: 'id'
  /** SHA-256 of scope and key, in hexadecimal digits: no collation takes two of them for one. */
  id: string
  /** SHA-256 of method, URL and body. */
  fingerprint: string
  /** Which request has it: another one may have taken it over. */
  claim: string
  /** Milliseconds since 1970. */
  expiresAt: number
  /** Of the reply, as the rest: `null` as long as it is not known. */
  status?: number | null
  /** Pairs of names and values, as JSON. */
  headers?: string | null
  body?: Buffer | null
}

/** MySQL's `blob` ends at 64 KiB. */
class BodyType extends BlobType {
  override getColumnType (prop: EntityProperty, platform: Platform): string {
    return isMysql(platform) ? 'longblob' : super.getColumnType(prop, platform)
  }
}

/**
 * The table of the keys. Put it into the `entities` of the MikroORM whose database keeps them: migrations and the schema generator
 * know it then.
 */
export const IdempotencyKey: EntitySchema<IdempotencyKeyRow> = defineEntity({
  name: 'IdempotencyKey',
  tableName: 'idempotency_key',
  properties: {
    id: p.string().length(64).primary(),
    fingerprint: p.string().length(64),
    claim: p.string().length(36),
    expiresAt: p.bigint('number').index(),
    status: p.integer().nullable(),
    headers: p.text().nullable(),
    body: p.type(BodyType).nullable()
  }
}) as EntitySchema<any>
