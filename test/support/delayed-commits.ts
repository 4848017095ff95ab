import type { TestPool } from './databases.ts'
import type { Orm, PoolKind } from './engines/engine.ts'
import type { Is } from './server-connections.ts'

interface Delay {
  /** Makes each commit wait for a lock that has inserted such a book. */
  wait (title: string): string[]
  /** Takes that lock. */
  block: string
}

/**
 * Where a transaction has written to it, the commit itself writes, too: into MariaDB's register of transactions, which keeps
 * apart the versions of a row. `BLOCK_REGISTER` lets it wait for that.
 */
export const CREATE_VERSIONS = `
  create table version (
    id int primary key auto_increment, first bigint unsigned generated always as row start, last bigint unsigned generated always as row end,
    period for system_time (first, last)
  ) with system versioning`
export const BLOCK_REGISTER = 'select 1 from mysql.transaction_registry where transaction_id > 1e18 lock in share mode'

const DELAYS: Record<PoolKind, Delay> = {
  postgresql: {
    wait: title => [
      'create function wait_for_lock () returns trigger language plpgsql as $$ begin perform pg_advisory_xact_lock_shared(42); return new; end $$',
      `create constraint trigger wait after insert on book deferrable initially deferred for each row when (new.title = '${title}') execute function wait_for_lock()`
    ],
    block: 'select pg_advisory_xact_lock(42)'
  },
  mariadb: {
    wait: title => [
      CREATE_VERSIONS,
      `create trigger wait after insert on book for each row if new.title = '${title}' then insert into version () values (); end if`
    ],
    block: BLOCK_REGISTER
  }
}

/** Makes each commit that has inserted such a book wait until `release` is called. */
export async function delayCommits ({ another, kind }: Pick<TestPool, 'another' | 'kind'>, title: string): Promise<() => Promise<void>> {
  const orm = await another()
  const { wait, block } = DELAYS[kind]
  for (const statement of wait(title)) await orm.em.fork().execute(statement)
  return await hold(orm, block)
}

/** Finds such a commit. */
export const isCommitting: Is = ({ sql, isBlocked }) => sql === 'commit' && isBlocked

/** Runs a statement in a transaction that stays open, until what it returns is called. */
export async function hold (orm: Orm, statement: string): Promise<() => Promise<void>> {
  const holder = orm.em.fork({ useContext: false })
  await holder.begin()
  await holder.execute(statement)
  return () => holder.rollback()
}
