import { fork, type ChildProcess } from 'node:child_process'
import { on, once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Contender } from './contender.ts'
import type { Answers, Message, Question, ServerOptions } from './messages.ts'

/** The server of a contender, as its parent sees it. */
export class ServerProcess {
  readonly name: string
  readonly databaseUrl: string
  readonly url: string
  readonly #child: ChildProcess

  private constructor (child: ChildProcess, name: string, databaseUrl: string, url: string) {
    this.#child = child
    this.name = name
    this.databaseUrl = databaseUrl
    this.url = url
  }

  /** Of a `profiles` folder, each server writes a CPU profile into it when it stops. */
  static async start ({ name, variant, folder = new URL('.', import.meta.url) }: Contender, settings: Omit<ServerOptions, 'variant'>, profiles?: string): Promise<ServerProcess> {
    const path = fileURLToPath(new URL('server.ts', folder))
    const profile = `${name.replaceAll(/[^a-z -]/g, '').replaceAll(' ', '-')}-${Date.now()}.cpuprofile`
    const profiling = profiles === undefined ? [] : ['--cpu-prof', '--cpu-prof-interval=200', `--cpu-prof-dir=${profiles}`, `--cpu-prof-name=${profile}`]
    const options: ServerOptions = { ...settings, variant }
    const child = fork(path, [JSON.stringify(options)], { execArgv: ['--expose-gc', ...profiling] })
    return new ServerProcess(child, name, settings.databaseUrl, await next(child, 'listening') as string)
  }

  async ask<Q extends Question> (question: Q): Promise<Answers[Q]> {
    const answer = next(this.#child, question)
    this.#child.send(question)
    return await answer as Answers[Q]
  }

  /** Resolves when the process has ended. */
  async stop (): Promise<void> {
    const exited = once(this.#child, 'exit')
    this.#child.disconnect()
    await exited
  }
}

/** The next message of that type; rejects if the child ends before. */
async function next (child: ChildProcess, type: Message['type']): Promise<Message['answer']> {
  for await (const [message] of on(child, 'message', { close: ['exit'] })) {
    if (message.type === type) return message.answer
  }
  throw new Error(`The server has ended with code ${child.exitCode} and signal ${child.signalCode}`)
}
