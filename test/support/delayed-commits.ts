import type { Orm } from './databases.ts'

/** Makes each commit that has inserted a book wait until `release` is called. */
export async function delayCommits (orm: Orm): Promise<() => Promise<void>> {
  await orm.em.fork().execute(`
    create function wait_for_lock () returns trigger language plpgsql as $$
      begin perform pg_advisory_xact_lock_shared(42); return new; end $$;
    create constraint trigger wait after insert on book deferrable initially deferred for each row execute function wait_for_lock();
  `)
  const blocker = orm.em.fork()
  await blocker.begin()
  await blocker.execute('select pg_advisory_xact_lock(42)')
  return () => blocker.rollback()
}

/** Finds such a commit. */
export const COMMITTING = "select 1 from pg_stat_activity where query = 'commit' and wait_event_type = 'Lock' and datname = current_database()"
