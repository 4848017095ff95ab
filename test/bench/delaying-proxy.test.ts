import t, { type Test } from 'tap'
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { buffer, text } from 'node:stream/consumers'
import { setTimeout } from 'node:timers/promises'
import { DelayingProxy } from '../../bench/network/delaying-proxy.ts'
import { freePort } from '../support/free-port.ts'

/** What the benchmark takes for a network. */

const ONE_WAY_MS = 5

interface Ends {
  proxy: DelayingProxy
  client: Socket
  server: Socket
}

t.test('each way takes as long as it is told to', async t => {
  const { proxy, client, server } = await connectEnds(t)
  server.on('data', chunk => server.write(chunk))
  for (let i = 0; i < 3; i++) {
    const sentAt = performance.now()
    client.write('ping')
    const [chunk] = await once(client, 'data')
    t.equal(String(chunk), 'ping')
    t.ok(performance.now() - sentAt >= 2 * ONE_WAY_MS, 'both ways')
  }
  t.equal(proxy.takeRoundTrips(), 3, 'each ping is a round trip')
  t.equal(proxy.takeRoundTrips(), 0, 'they are counted once')
})

t.test('what is asked in parts, and answered in parts, is one round trip', async t => {
  const { proxy, client, server } = await connectEnds(t)
  client.write('one')
  await once(server, 'data')
  client.write('two')
  await once(server, 'data')
  for (const part of ['a', 'b']) {
    server.write(part)
    await once(client, 'data')
  }
  t.equal(proxy.takeRoundTrips(), 1)
})

t.test('everything arrives, in its order, at one who reads late', async t => {
  const { client, server } = await connectEnds(t)
  const sent = Array.from({ length: 32 }, (_, i) => Buffer.alloc(2 ** 20, i))
  let written = 0
  const sending = (async () => {
    for (; written < sent.length; written++) await new Promise(resolve => client.write(sent[written]!, resolve))
    client.end()
  })()
  for (let before = -1; written > before;) { // until what is in between is full
    before = written
    await setTimeout(100)
  }
  t.ok(written < sent.length, 'the sender has to wait')
  const received = await buffer(server)
  await sending
  t.ok(received.equals(Buffer.concat(sent)))
})

t.test('one direction ends, and the other goes on', async t => {
  const { client, server } = await connectEnds(t)
  client.end('question')
  t.equal(await text(server), 'question')
  server.end('answer')
  t.equal(await text(client), 'answer')
})

for (const side of ['client', 'server'] as const) {
  t.test(`an abort of the ${side} is one for the other side`, async t => {
    const ends = await connectEnds(t)
    const other = ends[side === 'client' ? 'server' : 'client']
    const failed = once(other, 'error')
    ends[side].resetAndDestroy()
    t.match(await failed, [{ code: 'ECONNRESET' }])
  })

  t.test(`an abort of the ${side} that has ended its direction is noticed by the other side when that sends something`, async t => {
    const ends = await connectEnds(t)
    const other = ends[side === 'client' ? 'server' : 'client']
    ends[side].end()
    other.resume()
    await once(other, 'end')
    const failed = once(other, 'error')
    ends[side].resetAndDestroy()
    while (!other.destroyed) { // who has read everything is told by a write only
      other.write('to nobody')
      await setTimeout(ONE_WAY_MS)
    }
    t.match(await failed, [{ code: /^(?:EPIPE|ECONNRESET)$/ }])
  })
}

t.test('a server that refuses loses its client', async t => {
  const proxy = await DelayingProxy.start({ host: '127.0.0.1', port: await freePort() }, ONE_WAY_MS)
  t.teardown(() => proxy.stop())
  const client = connect({ host: '127.0.0.1', port: proxy.port })
  t.match(await once(client, 'error').catch(error => [error]), [{ code: 'ECONNRESET' }])
})

t.test('stopped, it lets nobody wait', async t => {
  const { proxy, client, server } = await connectEnds(t)
  client.write('lost')
  const closed = Promise.all([client, server].map(socket => new Promise(resolve => socket.on('error', () => {}).on('close', resolve).resume())))
  await proxy.stop()
  await closed
  t.pass()
})

async function connectEnds (t: Test): Promise<Ends> {
  const target = createServer({ allowHalfOpen: true })
  target.listen(0, '127.0.0.1')
  await once(target, 'listening')
  const proxy = await DelayingProxy.start({ host: '127.0.0.1', port: (target.address() as AddressInfo).port }, ONE_WAY_MS)
  const accepted = once(target, 'connection')
  const client = connect({ host: '127.0.0.1', port: proxy.port, allowHalfOpen: true })
  const [server] = await accepted as [Socket]
  t.teardown(async () => {
    for (const socket of [client, server]) socket.destroy()
    target.close()
    await proxy.stop()
  })
  return { proxy, client, server }
}
