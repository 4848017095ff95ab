import { fork, type ChildProcess } from 'node:child_process'
import { on } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Message, Question, SettledContext, Sighting } from './messages.ts'

type Answer<Type extends Message['type']> = Extract<Message, { type: Type }>

/** The server, as its parent sees it. */
export class ServerProcess {
  readonly url: string
  readonly #child: ChildProcess

  private constructor (child: ChildProcess, url: string) {
    this.#child = child
    this.url = url
  }

  static async start (databaseUrl: string, onSettled: (context: SettledContext) => void, onSeen: (...sighting: Sighting) => void): Promise<ServerProcess> {
    const path = fileURLToPath(new URL('server.ts', import.meta.url))
    const child = fork(path, [databaseUrl], { execArgv: ['--expose-gc'] })
    child.on('message', (message: Message) => {
      if (message.type === 'settled') message.contexts.forEach(onSettled)
      if (message.type === 'seen') for (const sighting of message.sights) onSeen(...sighting)
    })
    const { url } = await next(child, 'listening')
    return new ServerProcess(child, url)
  }

  /** Bytes that are in use after a garbage collection. */
  async heap (): Promise<number> {
    return (await this.#ask('heap')).bytes
  }

  /** What has gone wrong in the server, once its transactions have ended. */
  async report (): Promise<string[]> {
    return (await this.#ask('report')).problems
  }

  stop (): void {
    this.#child.disconnect()
  }

  #ask<Type extends Question> (question: Type): Promise<Answer<Type>> {
    const answer = next(this.#child, question)
    this.#child.send(question)
    return answer
  }
}

/** The next message of that type; rejects if the child ends before. */
async function next<Type extends Message['type']> (child: ChildProcess, type: Type): Promise<Answer<Type>> {
  for await (const [message] of on(child, 'message', { close: ['exit'] })) {
    if (message.type === type) return message
  }
  throw new Error(`The server has ended with code ${child.exitCode} and signal ${child.signalCode}`)
}
