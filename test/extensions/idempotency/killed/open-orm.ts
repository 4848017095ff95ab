import { MariaDbDriver } from '@mikro-orm/mariadb'
import { PostgreSqlDriver } from '@mikro-orm/postgresql'
import { SqlMikroORM } from '@mikro-orm/sql'
import { IdempotencyKey } from '../../../../idempotency.ts'
import { Charge, type Kind } from './charge.ts'

export async function openOrm (kind: Kind, clientUrl: string): Promise<SqlMikroORM> {
  const driver = kind === 'postgresql' ? PostgreSqlDriver : MariaDbDriver
  return await SqlMikroORM.init({ driver, clientUrl, entities: [Charge, IdempotencyKey], pool: { min: 0, max: 5 }, ensureDatabase: true } as any) as unknown as SqlMikroORM
}
