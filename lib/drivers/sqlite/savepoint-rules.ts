import { NO_RULES, type Execute, type SavepointRules } from '../savepoint-rules.ts'

export async function rulesOfSqlite (execute: Execute): Promise<SavepointRules> {
  const findViolations = async (): Promise<string[]> => (await execute('pragma foreign_key_check')).map(row => JSON.stringify(row))
  const known = await findViolations() // a commit does not mind what was there before
  return {
    ...NO_RULES,

    async checkDeferred () {
      const [{ foreign_keys: isChecked }] = await execute('pragma foreign_keys')
      if (isChecked !== 1 || (await findViolations()).every(violation => known.includes(violation))) return
      // as better-sqlite3 13.0 says it when the commit of a transaction fails
      throw Object.assign(new Error('FOREIGN KEY constraint failed'), { code: 'SQLITE_CONSTRAINT_FOREIGNKEY' })
    },

    async makeReadOnly () {
      await execute('pragma query_only = on')
      return async () => { await execute('pragma query_only = off') }
    }
  }
}
