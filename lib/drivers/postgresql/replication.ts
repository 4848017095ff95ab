import type { Reach, Replication, Whereabouts } from '../replication.ts'

/**
 * A position is the cluster, the timeline and the place in its log, in hexadecimal digits. What a replica replays comes from one timeline
 * after the other; `pg_stat_wal_receiver` says soonest which one it is on, to those who may see it. A replica goes over to the next timeline
 * at the place where that begins, so it never has anything that the next one has not.
 */
export const replication: Replication & { readonly afterCommit: string } = {
  where: `
    select (select system_identifier from pg_control_system()) as id,
      case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_insert_lsn() end as lsn,
      case when pg_is_in_recovery() then null else pg_walfile_name(pg_current_wal_insert_lsn()) end as file,
      case when pg_is_in_recovery() then greatest(
        (select received_tli from pg_stat_wal_receiver), (select min_recovery_end_timeline from pg_control_recovery()),
        (select timeline_id from pg_control_checkpoint())) end as timeline`.replaceAll(/\s+/g, ' ').trim(),

  /** The same of a primary alone, which takes half of the time. A standby gives no row. */
  afterCommit: `
    select system_identifier as id, pg_current_wal_insert_lsn() as lsn, pg_walfile_name(pg_current_wal_insert_lsn()) as file
    from pg_control_system() where not pg_is_in_recovery()`.replaceAll(/\s+/g, ' ').trim(),

  singleConnection: { min: 0, max: 1, connectionTimeoutMillis: 1000, idleTimeoutMillis: 0, allowExitOnIdle: true },

  positionIn ({ id, file, lsn }: Whereabouts): string | undefined {
    return file === null ? undefined : `${clusterOf(id)}.${timelineIn(file).toString(16)}.${placeOf(lsn)}`
  },

  reach ({ id, file, timeline, lsn }: Whereabouts, position: string): Reach {
    const [cluster, since, place] = position.split('.') as [string, string, string | undefined]
    if (place === undefined || cluster !== clusterOf(id)) return 'foreign'
    const present = file === null ? Number(timeline) : timelineIn(file)
    return present >= Number.parseInt(since, 16) && isUpTo(placeOf(lsn), place) ? 'reached' : 'behind'
  }
}

/** Half of its digits are enough, and keep tokens short. */
function clusterOf (id: string): string {
  return BigInt.asUintN(32, BigInt(id)).toString(16)
}

/** The name of a file of the log begins with it. */
function timelineIn (file: string): number {
  return Number.parseInt(file.slice(0, 8), 16)
}

/** `16/B374D848` is `16b374d848`. A replica that has replayed nothing has none. */
function placeOf (lsn: string | null): string {
  if (lsn === null) return '0'
  const [high, low] = lsn.toLowerCase().split('/') as [string, string]
  return high === '0' ? low : high + low.padStart(8, '0')
}

function isUpTo (place: string, other: string): boolean {
  return place.length === other.length ? place >= other : place.length > other.length
}
