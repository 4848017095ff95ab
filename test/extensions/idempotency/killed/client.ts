import { Agent, request } from 'node:http'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Random } from '../../../soak/random.ts'
import { KILLS } from './charge.ts'
import type { KeyLedger } from './ledger.ts'

interface Reply {
  status: number
  whole: string
  isReplay: boolean
}

const HANGING_MS = 60_000
/** Before a request is sent again that was answered, or was not: a server takes some time to start. */
const BUSY_MS = 50
const RESTARTING_MS = 400

/** Makes charges, each of which it sends until it is told that it is done; some several times at once, and some again afterwards. */
export async function runClient (number: number, urls: string[], random: Random, ledger: KeyLedger, stop: AbortSignal): Promise<void> {
  const agent = new Agent({ keepAlive: true })
  for (let i = 0; !stop.aborted; i++) {
    const key = `${number}-${i}`
    const copies = random.below(1) < 0.3 ? 3 : 1
    const kill = random.below(1) < 0.02 ? random.pick(KILLS) : undefined
    await Promise.all(Array.from({ length: copies }, () => sendUntilDone(agent, urls, key, random, ledger, stop, kill)))
    if (random.below(1) < 0.2) await sendUntilDone(agent, urls, key, random, ledger, stop)
  }
  agent.destroy()
}

async function sendUntilDone (agent: Agent, urls: string[], key: string, random: Random, ledger: KeyLedger, stop: AbortSignal, kill?: string): Promise<void> {
  const startedAt = performance.now()
  for (let attempt = 0; attempt === 0 || !stop.aborted; attempt++) {
    ledger.noteSent(key)
    const leaveAfter = random.below(1) < 0.1 ? random.below(30) : undefined
    const reply = await send(agent, random.pick(urls), key, leaveAfter, attempt === 0 ? kill : undefined)
    if (reply?.status === 201) return ledger.noteDone(key, reply.whole, reply.isReplay)
    if (reply !== undefined && ![409, 500, 503].includes(reply.status)) return ledger.noteProblem(`${key}: answered with ${reply.status}: ${reply.whole}`)
    if (performance.now() - startedAt > HANGING_MS) return ledger.noteProblem(`${key}: not done after ${HANGING_MS} ms, the last answer was ${reply?.whole ?? 'none'}`)
    await sleep(random.below(reply === undefined ? RESTARTING_MS : BUSY_MS))
  }
}

/** `undefined` if there is no complete reply. */
function send (agent: Agent, url: string, key: string, leaveAfter: number | undefined, kill: string | undefined): Promise<Reply | undefined> {
  return new Promise(resolve => {
    const sent = request(`${url}/charges`, {
      agent, method: 'POST', headers: { 'idempotency-key': key, 'content-type': 'application/json', ...kill === undefined ? {} : { kill } }
    })
    const leave = leaveAfter === undefined ? undefined : setTimeout(() => sent.destroy(), leaveAfter)
    let isAnswered = false
    sent.on('response', response => {
      isAnswered = true
      text(response).then(body => {
        const { 'content-type': type, 'idempotency-replayed': replayed } = response.headers
        resolve({ status: response.statusCode!, whole: `${response.statusCode} ${type} ${body}`, isReplay: replayed === 'true' })
      }, () => resolve(undefined))
    })
    sent.on('error', () => resolve(undefined))
    sent.on('close', () => {
      clearTimeout(leave)
      if (!isAnswered) resolve(undefined)
    })
    sent.end('{}')
  })
}
