import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import pg from 'pg'

const DEADLINE_MS = 5000

/** Ends the backends that `condition` finds in `pg_stat_activity`, as soon as there is one. Resolves when they are gone. */
export async function terminateWhen (url: string, condition: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    const sql = `select pg_terminate_backend(pid, ${DEADLINE_MS}) as gone from pg_stat_activity
      where datname = current_database() and pid <> pg_backend_pid() and ${condition}`
    for (;;) {
      const { rows } = await client.query(sql)
      if (rows.some(({ gone }) => !gone)) throw new Error(`A backend has outlived its end: ${condition}`)
      if (rows.length > 0) return
    }
  } finally {
    await client.end()
  }
}

/** Ends a backend while the event loop stands still, so that nobody in this process can have noticed. */
export function terminateUnnoticed (url: string, pid: number): void {
  const { status, stderr } = spawnSync(process.execPath, [fileURLToPath(import.meta.url), url, `pid = ${pid}`], { encoding: 'utf8' })
  if (status !== 0) throw new Error(stderr)
}

if (import.meta.main) await terminateWhen(process.argv[2]!, process.argv[3]!)
