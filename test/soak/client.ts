import { Agent, request } from 'node:http'
import { MAX_SLEEP_MS } from './routes.ts'
import { ENDINGS, type Ledger } from './ledger.ts'
import type { Random } from './random.ts'

/** Long enough for many requests to be done by then. */
const MAX_ABORT_MS = 200

/** Many times as long as any request takes on a busy machine. */
const HANGING_MS = 30_000

/** Sends one request after the other, each with an ending that the seed chooses, until it is told to stop. */
export async function runClient (number: number, url: string, random: Random, ledger: Ledger, stop: AbortSignal): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  for (let i = 0; !stop.aborted; i++) {
    const ending = random.pick(ENDINGS)
    const id = `${number}-${i}`
    const sleep = random.below(MAX_SLEEP_MS)
    const abortAfter = ending === 'abort' ? random.below(MAX_ABORT_MS) : undefined
    ledger.noteReply(id, ending, await send(agent, `${url}/${ending}?sleep=${sleep}`, id, abortAfter))
  }
  agent.destroy()
}

/** Resolves with the status of the reply, or with `undefined` if it was not complete. */
function send (agent: Agent, url: string, id: string, abortAfter: number | undefined): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { agent, method: 'POST', headers: { 'request-id': id } })
    const abort = abortAfter === undefined ? undefined : setTimeout(() => sent.destroy(), abortAfter)
    const hanging = setTimeout(() => {
      reject(new Error(`${id}: ${url} has not been answered for ${HANGING_MS} ms`))
      sent.destroy()
    }, HANGING_MS)
    let status: number | undefined
    sent.on('response', response => {
      response.on('end', () => { if (response.complete) status = response.statusCode })
      response.on('error', () => {}) // the reply was cut, which its `complete` says
      response.resume()
    })
    sent.on('error', () => {}) // nobody is there, or we have gone away
    sent.on('close', () => {
      clearTimeout(abort)
      clearTimeout(hanging)
      resolve(status)
    })
    sent.end()
  })
}
