import type { KilledResult } from './run-killed.ts'

export function summarize ({ ledger, kills, rows, problems }: KilledResult): string {
  return `${ledger.keys} keys, sent ${ledger.attempts} times; ${ledger.replays} replays; servers killed ${kills} times; ${rows} rows; ${problems.length} problems`
}
