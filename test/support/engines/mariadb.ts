import { MariaDbDriver, MikroORM } from '@mikro-orm/mariadb'
import { connect, type Socket } from 'node:net'
import type { Engine, Orm, PoolDatabase, ServerConnection } from './engine.ts'
import { freshMariadb } from '../fresh-mariadb.ts'
import { killOnMariadb } from '../kill.ts'
import { withoutMariadb } from '../without-servers.ts'

/** What is used of mysql2 3.24. */
interface Config {
  host: string
  port: number
  pool: Pool
}
interface Pool {
  _allConnections: { length: number }
  _freeConnections: { length: number }
}

export const mariadb: Engine<PoolDatabase> = {
  kind: 'mariadb',
  name: 'MariaDB',
  without: withoutMariadb,

  async fresh () {
    const sent: string[] = []
    const pools = new Set<Pool>()
    const { url, query } = await freshMariadb()
    return {
      kind: 'mariadb',
      sent,
      open: async (options: { driverOptions?: object }) => withKnownIncrement(await MikroORM.init({
        clientUrl: url,
        pool: { min: 0, max: 5 },
        driver: MariaDbDriver,
        ...options,
        driverOptions: {
          ...options.driverOptions,
          stream ({ config }: { config: Config }) {
            pools.add(config.pool)
            const socket = connect(config.port, config.host).setNoDelay(true)
            record(socket, sent)
            return socket
          }
        }
      })) as unknown as Orm,
      observe: query,
      sleep: (seconds = 600) => `select sleep(${seconds})`,
      slowRead: 'select count(seq % 7) from seq_1_to_100000000000',
      slowRows: seconds => `select sleep(${seconds}) from seq_1_to_2`,
      ownId: 'select connection_id() as id',
      async connections () {
        const connections = await query(CONNECTIONS)
        const [{ Status: status }] = await query('show engine innodb status')
        return connections.map(connection => connectionOf(connection, status))
      },
      kill: id => killOnMariadb(query, id),
      taken: () => [...pools].reduce((sum, pool) => sum + pool._allConnections.length - pool._freeConnections.length, 0)
    }
  }
}

const CONNECTIONS = 'select id, info, state from information_schema.processlist where db = database() and id <> connection_id()'

/** `information_schema.innodb_trx` grows old for as long as somebody asks more often than every 100 ms. */
function connectionOf ({ id, info, state }: any, status: string): ServerConnection {
  const transaction = status.split('\n---TRANSACTION ').find(text => text.includes(` thread id ${id}, `) && /^[^,]+, ACTIVE /.test(text))
  return {
    id,
    sql: info,
    isSleeping: state === 'User sleep',
    isBlocked: state === 'Waiting for table metadata lock' || transaction?.includes('\nLOCK WAIT ') === true,
    isInTransaction: transaction !== undefined
  }
}

/** Which MikroORM 7.2.1 asks for after its first insert, by a statement of its own. */
function withKnownIncrement<T extends { driver: object }> (orm: T): T {
  Object.assign(orm.driver, { autoIncrementIncrement: 1 })
  return orm
}

/** mysql2 writes each packet by itself: three bytes are its length, one its number, and the next one says what it is. */
function record (socket: Socket, sent: string[]): void {
  const { write } = socket
  socket.write = (packet: any, ...rest: any[]) => {
    if (packet[3] === 0 && packet[4] === COM_QUERY) {
      const sql = packet.toString('utf8', 5)
      if (!sql.startsWith('kill query ')) sent.push(sql)
    }
    return write.call(socket, packet, ...rest as [])
  }
}

const COM_QUERY = 3
