import type { FastifyReply, FastifyRequest } from 'fastify'
import type { ReplicaSettings, TokenTransport } from '../options/options.ts'

/** The name of the cookie and of the header. */
const NAME = 'orm-position'

/** How the token of what a client has written comes and goes. */
export function tokenTransport ({ readYourWrites, maxAge }: ReplicaSettings): TokenTransport {
  if (readYourWrites === 'cookie') return cookieFor(maxAge)
  return readYourWrites === 'header' ? HEADER : readYourWrites
}

const HEADER: TokenTransport = {
  get (request) {
    const value = request.headers[NAME]
    return typeof value === 'string' ? value : undefined
  },

  set (reply, token) {
    reply.header(NAME, token)
  }
}

function cookieFor (maxAge: number): TokenTransport {
  const seconds = Math.min(Math.ceil(maxAge / 1000), MAX_SECONDS)
  return {
    get: request => COOKIE.exec(request.headers.cookie ?? '')?.[1],

    set (reply, token) {
      const others = cookiesOf(reply).filter(cookie => !cookie.startsWith(`${NAME}=`))
      const secure = isSecure(reply.request) ? '; Secure' : ''
      reply.removeHeader('set-cookie')
      reply.header('set-cookie', [...others, `${NAME}=${token}; Max-Age=${seconds}; Path=/; HttpOnly; SameSite=Lax${secure}`])
    }
  }
}

const COOKIE = new RegExp(`(?:^|;\\s*)${NAME}=([^;\\s]+)`)
/** Browsers keep no cookie for longer. */
const MAX_SECONDS = 400 * 24 * 3600

/** Those that the app has set. */
function cookiesOf (reply: FastifyReply): string[] {
  const cookies = reply.getHeader('set-cookie') as string | string[] | undefined
  return cookies === undefined ? [] : [cookies].flat()
}

function isSecure (request: FastifyRequest): boolean {
  return request.protocol === 'https'
}
