import { spawnSync } from 'node:child_process'

/** Why tests are skipped that need the history of this checkout, if they are. */
export const withoutGit: string | false = spawnSync('git', ['rev-parse', 'HEAD'], { cwd: import.meta.dirname }).status !== 0 && 'is no checkout of git'
