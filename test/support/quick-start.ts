import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createConnection } from 'node:net'
import { setTimeout } from 'node:timers/promises'
import { snippetsOf } from './docs.ts'

export interface QuickStart {
  /** The commands that install it. */
  install: string
  /** The text of `app.ts`. */
  app: string
  calls: { command: string, reply: string }[]
}

/** What the README says. */
export function readQuickStart (readme: string): QuickStart {
  const [, install] = /^## Install\n+```sh\n([^]*?)^```$/m.exec(readme)!
  const [, commands] = /In another terminal:\n+```sh\n([^]*?)^```$/m.exec(readme)!
  const app = snippetsOf([{ file: 'README.md', text: readme }]).find(({ name }) => name === 'app.ts')!.code
  const calls = [...commands!.matchAll(/^(curl .+)\n# (.+)$/gm)].map(([, command, reply]) => ({ command: command!, reply: reply! }))
  return { install: install!, app, calls }
}

/** The same on another port. */
export function onPort (text: string, port: number): string {
  return text.replaceAll('port: 3000', `port: ${port}`).replaceAll('localhost:3000', `localhost:${port}`)
}

export interface Run {
  /** What each call has printed. */
  replies: string[]
  /** Of the app, after a SIGTERM. */
  code: number | null
}

/** Starts the app in its folder, makes the calls in a shell, and ends the app. */
export async function runQuickStart ({ node, folder, port, commands }: { node: string, folder: string, port: number, commands: string[] }): Promise<Run> {
  const app = spawn(node, ['app.ts'], { cwd: folder, stdio: ['ignore', 'inherit', 'inherit'] })
  const exited = once(app, 'exit')
  try {
    while (!await isListening(port)) {
      if (app.exitCode !== null) throw new Error(`The app has ended with ${app.exitCode}`)
      await setTimeout(50)
    }
    const replies: string[] = []
    for (const command of commands) replies.push(await printed(command.replace(/^curl /, 'curl --silent --show-error ')))
    app.kill('SIGTERM')
    return { replies, code: (await exited)[0] }
  } finally {
    app.kill('SIGKILL')
  }
}

async function printed (command: string): Promise<string> {
  const shell = spawn(command, { shell: true, stdio: ['ignore', 'pipe', 'inherit'] })
  return Buffer.concat(await shell.stdout.toArray()).toString()
}

async function isListening (port: number): Promise<boolean> {
  return await new Promise(resolve => {
    const socket = createConnection({ port, host: 'localhost' })
    socket.once('connect', () => { socket.destroy(); resolve(true) })
    socket.once('error', () => resolve(false))
  })
}
