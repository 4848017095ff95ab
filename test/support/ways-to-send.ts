import type { FastifyInstance } from 'fastify'
import { once } from 'node:events'
import { connect } from 'node:http2'
import type { Test } from 'tap'
import type { ContextOrmOptions } from '../../index.ts'
import { startServer, type LogLine } from './server.ts'

export interface Reply {
  status: number
  body: string
}

export interface Way {
  name: string
  log: LogLine[]
  /** Rejects if the reply breaks off. */
  send (path: string): Promise<Reply>
}

/** The same app over HTTP/1, over HTTP/2 and with `inject()`. */
export async function startServers (t: Test, options: Partial<ContextOrmOptions> & Pick<ContextOrmOptions, 'orm'>, routes: (app: FastifyInstance) => void): Promise<Way[]> {
  const http1 = await startServer(t, options, routes)
  const http2 = await startServer(t, { ...options, server: { http2: true } as object }, routes)
  return [{
    name: 'HTTP/1',
    log: http1.log,
    async send (path) {
      const response = await http1.get(path)
      return { status: response.status, body: await response.text() }
    }
  }, {
    name: 'HTTP/2',
    log: http2.log,
    send: path => sendOverHttp2(http2.app.listeningOrigin, path)
  }, {
    name: 'inject()',
    log: http1.log,
    async send (path) {
      const { statusCode, body } = await http1.app.inject(path)
      return { status: statusCode, body }
    }
  }]
}

async function sendOverHttp2 (origin: string, path: string): Promise<Reply> {
  const session = connect(origin)
  try {
    const stream = session.request({ ':path': path })
    const [headers] = await once(stream, 'response')
    let body = ''
    for await (const chunk of stream.setEncoding('utf8')) body += chunk
    return { status: headers[':status'], body }
  } finally {
    session.destroy()
  }
}
