/** What better-sqlite3 and libsql have alike. */
interface Connection {
  prepare (sql: string): { all (): unknown[] }
  close (): void
}

/** Asks a database that is a file, on a connection that is closed afterwards. */
export function queryFile (connection: Connection, sql: string): any[] {
  try {
    return connection.prepare(sql).all()
  } finally {
    connection.close()
  }
}
