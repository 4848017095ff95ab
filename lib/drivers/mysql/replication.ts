import type { Reach, Replication, Whereabouts } from '../replication.ts'

/**
 * Of MariaDB: a position is a GTID, which is a domain, a server and a number that grows in the domain. MySQL's are others, and it
 * answers with an error.
 */
export const replication: Replication = {
  where: 'select @@global.gtid_slave_pos as applied, @@global.gtid_binlog_pos as written',

  singleConnection: { connectionLimit: 1, connectTimeout: 1000 },

  positionIn ({ written }: Whereabouts): string | undefined {
    const gtids = gtidsIn(written)
    return gtids.length === 1 ? gtids[0]!.join('-') : undefined
  },

  /** The own log of a replica may be ahead of what can be read there. */
  reach ({ applied, written }: Whereabouts, position: string, isPrimary: boolean): Reach {
    const [[domain, , number] = []] = gtidsIn(position)
    if (domain === undefined || number === undefined) return 'foreign'
    return gtidsIn(isPrimary ? `${applied},${written}` : applied).some(gtid => gtid[0] === domain && gtid[2]! >= number) ? 'reached' : 'behind'
  }
}

function gtidsIn (list: string): number[][] {
  return list.split(',').filter(gtid => /^\d+-\d+-\d+$/.test(gtid)).map(gtid => gtid.split('-').map(Number))
}
