import { once } from 'node:events'
import { connect, createServer, type AddressInfo } from 'node:net'
import { median } from '../ratios.ts'
import { FarNetwork } from './far-network.ts'

export interface Pings {
  /** Milliseconds from a byte to its echo: medians. */
  straight: number
  through: number
}

/** How long a round trip takes on this machine, and through a network of which each way takes so long. */
export async function measurePings (oneWayMs: number, pings = 500): Promise<Pings> {
  const echo = createServer({ noDelay: true }, socket => socket.pipe(socket))
  echo.listen(0, '127.0.0.1')
  await once(echo, 'listening')
  const { port } = echo.address() as AddressInfo
  const network = await FarNetwork.start({ host: '127.0.0.1', port }, oneWayMs)
  try {
    return { straight: await ping(port, pings), through: await ping(network.port, pings) }
  } finally {
    await network.stop()
    echo.close()
  }
}

async function ping (port: number, pings: number): Promise<number> {
  const socket = connect({ host: '127.0.0.1', port, noDelay: true })
  await once(socket, 'connect')
  const taken: number[] = []
  for (let i = 0; i < pings; i++) {
    const sentAt = performance.now()
    socket.write('.')
    await once(socket, 'data')
    taken.push(performance.now() - sentAt)
  }
  socket.destroy()
  return median(taken)
}
