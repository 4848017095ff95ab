import { SqliteAdapter, SqliteIntrospector, SqliteQueryCompiler, type CompiledQuery, type DatabaseConnection, type Dialect, type Driver, type QueryResult } from 'kysely'

/** When something happens in the database: one turn for each statement, and each way of an answer. */
export type Turn = (what: string) => Promise<void>

/** What goes wrong with a commit or a statement, after so many of them that go well. */
export interface Trouble {
  what: 'statement fails' | 'statement conflicts' | 'commit is refused' | 'commit conflicts' | 'connection dies before COMMIT' | 'connection dies after COMMIT'
  after: number
}

class FakeConnection implements DatabaseConnection {
  readonly #database: FakeDatabase
  /** What is written in the transaction; `undefined` if there is none. */
  pending: string[] | undefined
  /** How much was written before each savepoint. */
  readonly savepoints = new Map<string, number>()
  isDead = false

  constructor (database: FakeDatabase) {
    this.#database = database
  }

  async executeQuery<R> ({ sql, parameters }: CompiledQuery): Promise<QueryResult<R>> {
    await this.#database.run(this, [sql, ...parameters].join(' '))
    return { rows: [] }
  }

  async * streamQuery<R> (): AsyncIterableIterator<QueryResult<R>> {
    throw new Error('The database of the simulation has no streams')
  }
}

/** A pool of connections to a table of titles, in memory: each answer comes when its turn comes. */
export class FakeDatabase {
  readonly titles: string[] = []
  /** What is wrong with how it was used. */
  readonly problems: string[] = []
  turn: Turn = async () => {}
  /** What comes next goes wrong so. */
  troubles: Trouble[] = []
  #taken = 0

  get taken (): number {
    return this.#taken
  }

  async run (connection: FakeConnection, sql: string): Promise<void> {
    const titles = /^insert into .?book/.test(sql) ? sql.match(/r\d+-\d+/g)! : undefined
    const what = titles?.join() ?? sql
    await this.turn(what)
    if (connection.isDead) throw new Error('The connection has died')
    if (titles === undefined) return this.#end(connection, sql)
    if (this.#takeTrouble('statement fails')) throw new Error('The statement fails') // and, as on SQLite, what comes next would not
    if (this.#takeTrouble('statement conflicts')) throw conflict()
    if (connection.pending === undefined) this.titles.push(...titles)
    else connection.pending.push(...titles)
    await this.turn(`the answer to ${what}`)
  }

  async savepoint (connection: FakeConnection, command: 'savepoint' | 'release' | 'rollback to', name: string): Promise<void> {
    await this.turn(`${command} ${name}`)
    if (connection.isDead) throw new Error('The connection has died')
    const { pending, savepoints } = connection
    if (pending === undefined) throw new Error('no transaction is active')
    if (command === 'savepoint') savepoints.set(name, pending.length)
    else if (!savepoints.has(name)) throw new Error(`no such savepoint: ${name}`)
    else if (command === 'rollback to') pending.length = savepoints.get(name)!
    else savepoints.delete(name)
    await this.turn(`the answer to ${command} ${name}`)
  }

  async #end (connection: FakeConnection, sql: string): Promise<void> {
    if (sql === 'begin') {
      if (connection.pending !== undefined) this.problems.push('a transaction was begun in another one')
      connection.pending = []
      return
    }
    if (sql !== 'commit' && sql !== 'rollback') return
    if (connection.pending === undefined) throw new Error('no transaction is active')
    const { pending } = connection
    const [isLostBefore, isLostAfter] = sql === 'commit' ? [this.#takeTrouble('connection dies before COMMIT'), this.#takeTrouble('connection dies after COMMIT')] : []
    if (sql === 'commit' && isLostBefore !== true && isLostAfter !== true) {
      if (this.#takeTrouble('commit is refused')) throw new Error('The commit is refused')
      if (this.#takeTrouble('commit conflicts')) throw conflict()
    }
    connection.pending = undefined
    if (isLostBefore !== true && sql === 'commit') this.titles.push(...pending)
    if (isLostBefore === true || isLostAfter === true) {
      connection.isDead = true
      throw new Error('The connection has died')
    }
    await this.turn(`the answer to ${sql}`)
  }

  #takeTrouble (what: Trouble['what']): boolean {
    const trouble = this.troubles.find(trouble => trouble.what === what && trouble.after >= 0)
    return trouble !== undefined && trouble.after-- === 0
  }

  /** For `driverOptions` of MikroORM. */
  get dialect (): Dialect {
    return {
      createAdapter: () => new PoolAdapter(),
      createDriver: () => this.#driver(),
      createIntrospector: db => new SqliteIntrospector(db),
      createQueryCompiler: () => new SqliteQueryCompiler()
    }
  }

  #driver (): Driver {
    const lent = new Set<unknown>()
    const mark = (command: Parameters<FakeDatabase['savepoint']>[1]) => async (connection: DatabaseConnection, name: string): Promise<void> => {
      await this.savepoint(connection as FakeConnection, command, name)
    }
    const send = (sql: string) => async (connection: DatabaseConnection): Promise<void> => { await this.run(connection as FakeConnection, sql) }
    return {
      init: async () => {},
      acquireConnection: async () => {
        await this.turn('a connection')
        const connection = new FakeConnection(this)
        lent.add(connection)
        this.#taken++
        return connection
      },
      beginTransaction: send('begin'),
      commitTransaction: send('commit'),
      rollbackTransaction: send('rollback'),
      savepoint: mark('savepoint'),
      releaseSavepoint: mark('release'),
      rollbackToSavepoint: mark('rollback to'),
      releaseConnection: async connection => {
        if (!lent.delete(connection)) this.problems.push('a connection was given back twice')
        const { pending, isDead } = connection as FakeConnection
        if (pending !== undefined && !isDead) this.problems.push(`a connection was given back inside a transaction that has written ${pending.join()}`)
        this.#taken--
      },
      destroy: async () => {}
    }
  }
}

/** Somebody else was there first: what a retry is for. */
function conflict (): Error {
  return Object.assign(new Error('The database is busy'), { code: 'SQLITE_BUSY' })
}

class PoolAdapter extends SqliteAdapter {
  override get supportsMultipleConnections (): boolean {
    return true
  }
}
