import type { FastifyInstance, FastifyReply, FastifyRequest, onRequestHookHandler } from 'fastify'
import { refuseRemote } from './access.ts'
import { FST_ORM_INSPECTOR_UNKNOWN } from './errors.ts'
import type { Live } from './live.ts'
import { tagOf, type PageFile } from './page-files.ts'
import type { Pools } from './pools.ts'
import type { Records } from './records.ts'

interface Parts {
  path: string
  guard: onRequestHookHandler | undefined
  files: Map<string, PageFile>
  records: Records
  pools: Pools
  live: Live
}

/** What the page needs, and nothing else; nobody may show it inside of a page of theirs. */
const POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'self'; frame-ancestors 'none'"

/** The page, what it loads, and the same as JSON. None of these routes has a context. */
export function declareRoutes (fastify: FastifyInstance, { path, guard = refuseRemote, files, records, pools, live }: Parts): void {
  const options = { onRequest: guard, config: { orm: false as const }, schema: { hide: true } as object, logLevel: 'warn' as const }

  async function sendPage (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    return sendFile(request, reply, files.get('index.html')!)
  }

  fastify.get(path, options, sendPage)
  for (const [name, file] of files) fastify.get(`${path}/${name}`, options, async (request, reply) => sendFile(request, reply, file))

  fastify.get(`${path}/contexts`, options, async (request, reply) => {
    secure(reply)
    return wantsPage(request) ? await sendPage(request, reply) : records.describe()
  })
  fastify.get<{ Params: { id: string } }>(`${path}/contexts/:id`, options, async (request, reply) => {
    secure(reply)
    if (wantsPage(request)) return await sendPage(request, reply)
    const { id } = request.params
    const found = records.describeInFull(Number(id))
    if (found === undefined) throw new FST_ORM_INSPECTOR_UNKNOWN(id.slice(0, 20))
    return found
  })
  fastify.get(`${path}/pools`, options, async (_request, reply) => {
    secure(reply)
    return await pools.describe()
  })
  fastify.get(`${path}/live`, { ...options, exposeHeadRoute: false }, async (_request, reply) => {
    secure(reply)
    return reply.type('text/event-stream').header('x-accel-buffering', 'no').send(live.open())
  })
}

function sendFile (request: FastifyRequest, reply: FastifyReply, file: PageFile): FastifyReply {
  const tag = tagOf(file)
  secure(reply).header('cache-control', 'no-cache').header('etag', tag)
  return request.headers['if-none-match'] === tag ? reply.code(304).send() : reply.type(file.type).send(file.content)
}

/** A browser that goes to the address, and not a program that asks. */
function wantsPage ({ headers: { accept = '' } }: FastifyRequest): boolean {
  return accept.includes('text/html')
}

function secure (reply: FastifyReply): FastifyReply {
  return reply.header('cache-control', 'no-store').header('vary', 'accept').header('content-security-policy', POLICY)
    .header('x-content-type-options', 'nosniff').header('referrer-policy', 'no-referrer')
}
