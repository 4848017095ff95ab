import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'

const isRoot = process.getuid?.() === 0
const EVERY_MS = 50

function hasProgram (name: string): boolean {
  return spawnSync(name, ['--version']).status === 0
}

/** Why programs cannot be started: which one is missing, if one is. */
export function withoutPrograms (...names: string[]): string | undefined {
  const missing = names.find(name => !hasProgram(name))
  return missing && `there is no ${missing} on the path`
}

/** What was running there may write on for a moment. */
const REMOVE = 'cat; for i in 1 2 3 4 5 6 7 8; do rm -rf "$1"; sleep 1; [ -e "$1" ] || exit; done'

export interface Folder {
  path: string
  remove (): Promise<void>
}

/** One that other users may enter. It goes with this process, however that ends: by Ctrl-C, or killed because it takes too long. */
export async function makeFolder (): Promise<Folder> {
  const path = await mkdtemp(join(tmpdir(), 'fastify-context-orm-'))
  await chmod(path, 0o755)
  // its input ends with this process
  const remover = spawn('sh', ['-c', REMOVE, 'sh', path], { stdio: ['pipe', 'ignore', 'ignore'], detached: true })
  const input = remover.stdin as Socket
  remover.unref()
  input.unref()
  return {
    path,
    async remove () {
      await rm(path, { recursive: true, force: true, maxRetries: 5 })
      input.end()
    }
  }
}

export interface Program {
  readonly pid: number
  /** Tells it to end, and waits for that. */
  stop (signal?: NodeJS.Signals): Promise<void>
  /** Resolves when `isReady` does with `true`; rejects with its log if it ends before. */
  untilReady (isReady: () => Promise<boolean>): Promise<void>
}

/** Starts a program that ends with this process at the latest, however that ends. Root's runs as `user`. */
export function startProgram (command: string, args: string[], { user, log }: { user: string, log: string }): Program {
  const rights = isRoot ? [`--reuid=${user}`, `--regid=${groupOf(user)}`, '--clear-groups'] : []
  const file = openSync(log, 'a')
  const child = spawn('setpriv', ['--pdeathsig=KILL', ...rights, command, ...args], {
    stdio: ['ignore', file, file], env: { ...process.env, HOME: tmpdir() }
  })
  closeSync(file)
  const exited = once(child, 'exit')
  return {
    pid: child.pid!, // setpriv becomes the program
    async stop (signal = 'SIGKILL') {
      child.kill(signal)
      await exited
    },
    async untilReady (isReady) {
      let hasEnded = false
      exited.then(() => { hasEnded = true })
      while (!await isReady()) {
        if (hasEnded) throw new Error(`${command} has ended:\n${(await readFile(log, 'utf8')).slice(-3000)}`)
        await setTimeout(EVERY_MS)
      }
    }
  }
}

function groupOf (user: string): string {
  return spawnSync('id', ['-gn', user], { encoding: 'utf8' }).stdout.trim()
}

/** So that a program of that user may write there. */
export function giveTo (user: string, path: string): void {
  if (isRoot) spawnSync('chown', ['-R', user, path])
}
