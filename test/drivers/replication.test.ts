import t from 'tap'
import { replication as mariadb } from '../../lib/drivers/mysql/replication.ts'
import { replication as postgresql } from '../../lib/drivers/postgresql/replication.ts'

const ID = '7712853633519962244'
const primary = (lsn: string, timeline = 1): object => ({ id: ID, lsn, file: `${timeline.toString(16).padStart(8, '0').toUpperCase()}0000000000000001`, timeline: null })
const standby = (lsn: string | null, timeline = 1, id = ID): object => ({ id, lsn, file: null, timeline })

t.test('PostgreSQL: a replica has a commit when it has replayed the place of it, on its timeline or a later one', async t => {
  const at = (lsn: string, timeline?: number): string => postgresql.positionIn(primary(lsn, timeline))!
  const reach = (server: object, position: string): string => postgresql.reach(server, position, false)
  t.match(at('16/B374D848', 10), /^[0-9a-f]{1,8}\.a\.16b374d848$/)
  t.match(at('0/1764DD0'), /\.1\.1764dd0$/)
  for (const lsn of ['0/1764DD0', '0/1764DD1', '1/0', '0/11764DD0']) t.equal(reach(standby(lsn), at('0/1764DD0')), 'reached', lsn)
  for (const lsn of ['0/1764DCF', '0/FFFFFF', null]) t.equal(reach(standby(lsn), at('0/1764DD0')), 'behind', String(lsn))
  t.equal(reach(standby('0/FFFFFFFF'), at('1/0')), 'behind')
  t.equal(reach(standby('1/0'), at('0/FFFFFFFF')), 'reached')
  t.equal(reach(standby('9/0', 1), at('1/0', 2)), 'behind', 'another history')
  t.equal(reach(standby('9/0', 3), at('1/0', 2)), 'reached')
  t.equal(reach(primary('9/0', 2), at('1/0', 2)), 'reached', 'a replica that was promoted')
  t.equal(reach(standby('9/0', 1, '7712853633519962245'), at('1/0')), 'foreign')
  for (const other of ['0-1-5', '?', '', 'a.b']) t.equal(reach(standby('9/0'), other), 'foreign', other)
  t.equal(postgresql.positionIn(standby('9/0')), undefined, 'a standby commits nothing')
})

t.test('MariaDB: a replica has a commit when it has applied its number, or a later one of its domain', async t => {
  const reach = (applied: string, position: string, isPrimary = false, written = ''): string => mariadb.reach({ applied, written }, position, isPrimary)
  t.equal(reach('0-1-5', '0-1-5'), 'reached')
  t.equal(reach('0-2-10', '0-1-9'), 'reached', 'another server of the domain has gone on')
  t.equal(reach('1-1-3,0-1-6', '0-1-5'), 'reached')
  t.equal(reach('0-1-4', '0-1-5'), 'behind')
  t.equal(reach('1-1-9', '0-1-5'), 'behind')
  t.equal(reach('', '0-1-5'), 'behind')
  t.equal(reach('', '0-1-5', false, '0-1-9'), 'behind', 'what is in its log may not be seen yet')
  t.equal(reach('', '0-1-5', true, '0-1-9'), 'reached')
  for (const other of ['77b4a840.1.16b374d848', '?', '0-1']) t.equal(reach('0-1-9', other), 'foreign', other)
  t.equal(mariadb.positionIn({ applied: '', written: '0-1-7' }), '0-1-7')
  t.equal(mariadb.positionIn({ applied: '', written: '0-1-7,1-1-3' }), undefined, 'no single one')
})
