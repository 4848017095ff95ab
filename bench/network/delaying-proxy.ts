import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { Deliveries } from './deliveries.ts'

export interface Target {
  host: string
  port: number
}

/** Passes on what comes, and how it ends, a while later: data, the end of one direction, and an abort. */
export class DelayingProxy {
  readonly #deliveries: Deliveries
  readonly #sockets = new Set<Socket>()
  readonly #target: Target
  readonly #server: Server
  #roundTrips = 0

  private constructor (target: Target, oneWayMs: number) {
    this.#target = target
    this.#deliveries = new Deliveries(oneWayMs)
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, client => this.#pass(client))
  }

  static async start (target: Target, oneWayMs: number): Promise<DelayingProxy> {
    const proxy = new DelayingProxy(target, oneWayMs)
    proxy.#server.listen(0, '127.0.0.1')
    await once(proxy.#server, 'listening')
    return proxy
  }

  get port (): number {
    return (this.#server.address() as AddressInfo).port
  }

  /** How often the server has answered what a client had sent, since this was last asked. A farewell is not answered. */
  takeRoundTrips (): number {
    const taken = this.#roundTrips
    this.#roundTrips = 0
    return taken
  }

  async stop (): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    for (const socket of this.#sockets) abort(socket)
    await closed
  }

  #pass (client: Socket): void {
    const server = connect({ ...this.#target, allowHalfOpen: true, noDelay: true })
    let isAsked = false
    client.on('data', () => { isAsked = true })
    server.on('data', () => {
      if (isAsked) this.#roundTrips++
      isAsked = false
    })
    this.#carry(client, server)
    this.#carry(server, client)
  }

  /** One direction. */
  #carry (from: Socket, to: Socket): void {
    this.#sockets.add(from)
    from.on('data', chunk => this.#deliveries.add(() => {
      if (!to.writable || to.write(chunk) || from.isPaused()) return
      from.pause()
      to.once('drain', () => from.resume())
    }))
    from.on('end', () => this.#deliveries.add(() => to.end()))
    from.on('error', () => {}) // it closes next
    from.on('close', hadError => {
      this.#sockets.delete(from)
      if (hadError || !from.readableEnded) this.#deliveries.add(() => abort(to))
    })
  }
}

/** So that the other side sees what this one has: no end, but a connection that is lost. */
function abort (socket: Socket): void {
  if (!socket.destroyed) socket.resetAndDestroy()
}
