import { fork, type ChildProcess } from 'node:child_process'
import { on, once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Answers, Message, Question, ServerOptions } from './messages.ts'
import type { VariantName } from './variants/variants.ts'

/** The server of a variant, as its parent sees it. */
export class ServerProcess {
  readonly variant: VariantName
  readonly databaseUrl: string
  readonly url: string
  readonly #child: ChildProcess

  private constructor (child: ChildProcess, { variant, databaseUrl }: ServerOptions, url: string) {
    this.#child = child
    this.variant = variant
    this.databaseUrl = databaseUrl
    this.url = url
  }

  /** Of a `profiles` folder, each server writes a CPU profile into it when it stops. */
  static async start (options: ServerOptions, profiles?: string): Promise<ServerProcess> {
    const path = fileURLToPath(new URL('server.ts', import.meta.url))
    const name = `${options.variant.replaceAll(/[^a-z -]/g, '').replaceAll(' ', '-')}-${Date.now()}.cpuprofile`
    const profiling = profiles === undefined ? [] : ['--cpu-prof', '--cpu-prof-interval=200', `--cpu-prof-dir=${profiles}`, `--cpu-prof-name=${name}`]
    const child = fork(path, [JSON.stringify(options)], { execArgv: ['--expose-gc', ...profiling] })
    return new ServerProcess(child, options, await next(child, 'listening') as string)
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
