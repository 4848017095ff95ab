import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface OtherServer {
  url: string
  close (): void
}

/** Somebody whom the app calls: it answers after so many milliseconds. */
export async function startOther (delay: number): Promise<OtherServer> {
  const server = createServer((_request, response) => { setTimeout(() => response.writeHead(203).end('ok'), delay) })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, close: () => server.close() }
}
