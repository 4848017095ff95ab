import { Agent, request } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { gunzipSync } from 'node:zlib'
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
    const { status, problem } = await send(agent, `${url}/${ending}?sleep=${sleep}`, id, abortAfter)
    ledger.noteReply(id, ending, status)
    if (problem !== undefined) ledger.noteProblem(problem)
  }
  agent.destroy()
}

interface Reply {
  /** `undefined` if it was not complete. */
  status?: number | undefined
  /** What is wrong with it. */
  problem?: string
}

function send (agent: Agent, url: string, id: string, abortAfter: number | undefined): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { agent, method: 'POST', headers: { 'request-id': id, 'accept-encoding': 'gzip' } })
    const abort = abortAfter === undefined ? undefined : setTimeout(() => sent.destroy(), abortAfter)
    const hanging = setTimeout(() => {
      reject(new Error(`${id}: ${url} has not been answered for ${HANGING_MS} ms`))
      sent.destroy()
    }, HANGING_MS)
    const reply: Reply = {}
    let received: Promise<void> | undefined
    sent.on('response', response => {
      received = buffer(response).then(body => {
        reply.status = response.statusCode
        if (response.headers['content-encoding'] === 'gzip') gunzipSync(body)
      }).catch(error => {
        // or else the reply was cut
        if (response.complete) reply.problem = `${id}: the reply of ${url}, status ${response.statusCode}, is not compressed as it says: ${error.message}`
      })
    })
    sent.on('error', () => {}) // nobody is there, or we have gone away
    sent.on('close', async () => {
      clearTimeout(abort)
      clearTimeout(hanging)
      await received
      resolve(reply)
    })
    sent.end()
  })
}
