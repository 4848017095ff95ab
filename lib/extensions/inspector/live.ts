import { Readable } from 'node:stream'
import type { DescribedContext, DescribedPool } from './descriptions.ts'
import type { Pools } from './pools.ts'
import type { Records } from './records.ts'

/** Between two events, in milliseconds: however many contexts there are, a page gets so many. */
export const INTERVAL = 250

/** What a page is told. */
export interface LiveEvent {
  contexts: DescribedContext[]
  pools: DescribedPool[]
}

/** A page that watches. */
interface Watcher {
  readonly stream: Readable
  /** What it has got by now: see `Records`. */
  version: number
  pools: string
}

/** Server-sent events for pages that are open; without one, nothing runs. */
export class Live {
  readonly #records: Records
  readonly #pools: Pools
  readonly #watchers = new Set<Watcher>()
  #timer: NodeJS.Timeout | undefined

  constructor (records: Records, pools: Pools) {
    this.#records = records
    this.#pools = pools
  }

  /** For one more page: what there is, and what changes from now on. */
  open (): Readable {
    const stream = new Readable({ read () {} })
    const watcher: Watcher = { stream, version: 0, pools: '' }
    stream.push(`retry: 1000\n\n${eventOf({ contexts: [], pools: [] })}`)
    stream.once('close', () => {
      this.#watchers.delete(watcher)
      if (this.#watchers.size === 0) this.#stop()
    })
    this.#watchers.add(watcher)
    this.#timer ??= setInterval(() => { this.#tell().catch(() => {}) }, INTERVAL).unref()
    return stream
  }

  close (): void {
    this.#stop()
    for (const { stream } of this.#watchers) stream.push(null)
  }

  #stop (): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  /** A page that has not read the last event gets more in the next one. */
  async #tell (): Promise<void> {
    const pools = await this.#pools.describe()
    const { version } = this.#records
    const poolsNow = JSON.stringify(pools)
    for (const watcher of this.#watchers) {
      if (watcher.stream.readableLength > 0 || watcher.stream.destroyed) continue
      const contexts = this.#records.describe(watcher.version)
      if (contexts.length > 0 || watcher.pools !== poolsNow) watcher.stream.push(eventOf({ contexts, pools }))
      Object.assign(watcher, { version, pools: poolsNow })
    }
  }
}

function eventOf (event: LiveEvent): string {
  return `data: ${JSON.stringify(event)}\n\n`
}
