import { MikroORM } from '@mikro-orm/sqlite'
import type { Scheduler } from 'fast-check'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { AsyncLocalStorage, AsyncResource } from 'node:async_hooks'
import diagnostics from 'node:diagnostics_channel'
import { setImmediate as turn } from 'node:timers/promises'
import contextOrm from '../../index.ts'
import type { SettledEvent } from '../../lib/context/events.ts'
import { Book } from './entities.ts'
import { FakeDatabase, type Trouble } from './fake-database.ts'
import { perform } from './perform.ts'
import { Player } from './player.ts'
import type { Script } from './script.ts'

/** Nobody waits as long: `time is up` says when it is over. */
const HANDLER_TIMEOUT = 3_600_000

/** More rounds than any run has turns: whoever is not done by then waits for ever. */
const MOST_TURNS = 1000

/** A real app with a real MikroORM, on a database in memory whose answers come in the order that the scheduler says. */
export class Simulation {
  readonly #app: FastifyInstance
  readonly #orm: MikroORM
  readonly #database: FakeDatabase
  readonly #players = new Map<string, Player>()
  readonly #settled: SettledEvent[] = []
  readonly #strays: unknown[] = []
  readonly #sender = new AsyncLocalStorage<Player>()
  readonly #setTimeout = globalThis.setTimeout
  #runs = 0

  static async start (): Promise<Simulation> {
    const database = new FakeDatabase()
    const orm = await MikroORM.init({ entities: [Book], dbName: 'simulated', driverOptions: database.dialect as never })
    const app = Fastify({ requestIdHeader: 'x-request-id' })
    const simulation = new Simulation(app, orm, database)
    await app.register(contextOrm, { orm })
    const handler = async ({ id }: FastifyRequest, reply: FastifyReply): Promise<object> => await simulation.#handle(id, reply)
    app.post('/once', { handlerTimeout: HANDLER_TIMEOUT }, handler)
    app.post('/retried', { handlerTimeout: HANDLER_TIMEOUT, config: { orm: { retry: { attempts: 3, delay: simulation.#delay } } } }, handler)
    await app.ready()
    return simulation
  }

  private constructor (app: FastifyInstance, orm: MikroORM, database: FakeDatabase) {
    this.#app = app
    this.#orm = orm
    this.#database = database
    diagnostics.subscribe('fastify-context-orm:settled', this.#noteSettled)
    process.on('unhandledRejection', this.#noteStray)
    globalThis.setTimeout = Object.assign(this.#keepTimeout, this.#setTimeout)
  }

  async stop (): Promise<void> {
    globalThis.setTimeout = this.#setTimeout
    process.off('unhandledRejection', this.#noteStray)
    diagnostics.unsubscribe('fastify-context-orm:settled', this.#noteSettled)
    await this.#app.close()
    await this.#orm.close()
  }

  /** What is wrong after these requests have run at the same time, in the order that the scheduler says. */
  async run (scripts: Script[], troubles: Trouble[], scheduler: Scheduler): Promise<string[]> {
    const database = this.#database
    database.turn = async what => { await scheduler.schedule(Promise.resolve(), what) }
    database.troubles = troubles.map(trouble => ({ ...trouble }))
    database.titles.length = database.problems.length = this.#settled.length = this.#strays.length = 0
    this.#players.clear()
    for (const script of scripts) this.#send(`r${++this.#runs}`, script, scheduler)
    await turn()
    for (let turns = 0; scheduler.count() > 0 || !this.#isDone; turns++) {
      if (turns > MOST_TURNS) return ['somebody waits for ever']
      if (scheduler.count() > 0) await scheduler.waitOne()
      await turn()
      await turn()
      if (!await this.#nextAttempts()) return ['an attempt does not come']
    }
    await turn()
    return [
      ...database.problems,
      ...database.taken === 0 ? [] : [`${database.taken} connections are not back`],
      ...this.#strays.map(error => `nobody has handled ${String(error)}`),
      ...[...this.#players.values()].flatMap(player => player.problems(database.titles, this.#settled))
    ]
  }

  get #isDone (): boolean {
    return [...this.#players.values()].every(({ isDone }) => isDone)
  }

  /** Waits a real millisecond for each, in which nothing else happens: else a seed would not always give the same order. */
  async #nextAttempts (): Promise<boolean> {
    const limit = performance.now() + 5000
    while ([...this.#players.values()].some(({ isBetweenAttempts, isDone }) => isBetweenAttempts && !isDone)) {
      if (performance.now() > limit) return false
      await turn()
    }
    return true
  }

  #send (id: string, script: Script, scheduler: Scheduler): void {
    const player = new Player(id, script)
    this.#players.set(id, player)
    const url = script.isRetried ? '/retried' : '/once'
    this.#sender.run(player, async () => await this.#app.inject({ method: 'POST', url, headers: { 'x-request-id': id } })).then(response => {
      player.status = response.statusCode
      player.isDone = true
    }, () => { player.isDone = true })
    if (script.upset === undefined) return
    scheduler.schedule(Promise.resolve(), `${id}: ${script.upset}`).then(() => this.#upset(player))
  }

  #upset (player: Player): void {
    const { reply, script: { upset } } = player
    if (reply === undefined || reply.raw.writableEnded || reply.raw.destroyed) return
    player.isAnswered = true
    if (upset === 'client leaves') {
      player.isGone = player.isDone = true
      reply.raw.destroy()
    } else if (upset === 'time is up') {
      player.timeOut!()
    } else if (!reply.sent) {
      sendUnlessInError(reply, upset === 'second reply' ? { second: true } : new Error('from outside'))
    }
  }

  async #handle (id: string, reply: FastifyReply): Promise<object> {
    const player = this.#players.get(id)!
    player.reply = reply
    if (player.isBetweenAttempts) player.beginAgain()
    const { deeds, catches, end } = player.script
    for (const deed of deeds) {
      try {
        await perform(player, deed)
      } catch (error) {
        if (!catches) throw error
      }
    }
    if (end === 'throws') throw new Error('by the work')
    if (end === 'replies with an error status') reply.code(422)
    return { ok: true }
  }

  readonly #delay = (): number => {
    this.#sender.getStore()!.isBetweenAttempts = true
    return 0
  }

  /** Fastify sets a timer for each request; the schedule says when it fires. */
  readonly #keepTimeout = (callback: () => void, ms?: number, ...rest: unknown[]): NodeJS.Timeout => {
    const player = this.#sender.getStore()
    const isOfRequest = player !== undefined && ms === HANDLER_TIMEOUT
    if (isOfRequest) player.timeOut = AsyncResource.bind(callback)
    const timer = (this.#setTimeout as (...args: unknown[]) => NodeJS.Timeout)(callback, ms, ...rest)
    return isOfRequest ? timer.unref() : timer
  }

  readonly #noteSettled = (event: unknown): void => { this.#settled.push(event as SettledEvent) }
  readonly #noteStray = (error: unknown): void => { this.#strays.push(error) }
}

/** While an `onError` hook runs, Fastify 5.12 throws at whoever calls `reply.send()`. */
function sendUnlessInError (reply: FastifyReply, payload: object): void {
  try {
    reply.send(payload)
  } catch (error: any) {
    if (error.code !== 'FST_ERR_SEND_INSIDE_ONERR') throw error
  }
}
