/** The proxy, in a process of its own: it is not to share one with what is measured, nor with the clients. */
import { DelayingProxy } from './delaying-proxy.ts'

const { host, port, oneWayMs } = JSON.parse(process.argv[2]!)
const proxy = await DelayingProxy.start({ host, port }, oneWayMs)
process.on('message', () => process.send!(proxy.takeRoundTrips()))
process.on('disconnect', () => process.exit())
process.send!(proxy.port)
