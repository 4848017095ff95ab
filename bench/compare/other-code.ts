import { execFile, execFileSync } from 'node:child_process'
import { cp, rm, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { makeFolder } from '../../test/support/program.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const run = promisify(execFile)

/** The library of another commit, with the benchmark of this one. */
export interface OtherCode {
  /** The folder of its benchmark. */
  benchmark: URL
  remove (): Promise<void>
}

/** Throws if there is no such commit. */
export function commitOf (reference: string): string {
  try {
    return execFileSync('git', ['rev-parse', '--verify', '--quiet', `${reference}^{commit}`], { cwd: ROOT, encoding: 'utf8', stdio: 'pipe' }).trim()
  } catch {
    throw new Error(`--compare takes a commit, a branch or a tag, and there is no ${reference}`)
  }
}

/**
 * In a folder that goes with this process, however that ends. It is no worktree of git: one whose folder has gone would have to be pruned.
 * Packages are those that are installed here.
 */
export async function checkOut (commit: string): Promise<OtherCode> {
  const folder = await makeFolder()
  const within = (name: string): string => join(folder.path, name)
  try {
    await run('git', ['archive', '--format=tar', `--output=${within('code.tar')}`, commit], { cwd: ROOT })
    await run('tar', ['-xf', within('code.tar'), '-C', folder.path])
    await rm(within('bench'), { recursive: true, force: true })
    await cp(join(ROOT, 'bench'), within('bench'), { recursive: true })
    await symlink(join(ROOT, 'node_modules'), within('node_modules'), 'junction')
  } catch (error) {
    await folder.remove()
    throw error
  }
  return { benchmark: pathToFileURL(`${within('bench')}/`), remove: () => folder.remove() }
}
