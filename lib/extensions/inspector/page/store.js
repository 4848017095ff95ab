/** As many as the server keeps, and so many of those that stand out. */
const MOST = 200
const MOST_STANDING_OUT = 50

/** What the page knows, and whom it tells when that changes. */
export class Store {
  contexts = new Map()
  pools = []
  isConnected = false
  isPaused = false
  filter = ''
  onlyProblems = false
  /** The id of the context that is looked at, and what is known of it. */
  selected
  detail
  detailError
  /** What has come while it was paused. */
  #held = []
  #onChange

  constructor (onChange) {
    this.#onChange = onChange
  }

  connect () {
    const source = new EventSource('live')
    source.onmessage = ({ data }) => {
      const isFirst = !this.isConnected
      this.isConnected = true
      const event = JSON.parse(data)
      if (isFirst && !this.isPaused) this.contexts.clear() // the server may be another one
      if (this.isPaused) this.#hold(event)
      else this.#take(event)
      this.#onChange()
    }
    source.onerror = () => {
      this.isConnected = false
      this.#onChange()
    }
  }

  get waiting () {
    return new Set(this.#held.flatMap(({ contexts }) => contexts.map(({ id }) => id))).size
  }

  set (changes) {
    Object.assign(this, changes)
    if (changes.isPaused === false) {
      for (const event of this.#held.splice(0)) this.#take(event)
    }
    this.#onChange()
  }

  /** The newest first. */
  get shown () {
    const words = this.filter.toLowerCase().split(/\s+/).filter(word => word !== '')
    return [...this.contexts.values()].filter(context => {
      if (this.onlyProblems && !standsOut(context)) return false
      const text = textOf(context)
      return words.every(word => text.includes(word))
    }).reverse()
  }

  async select (id) {
    this.selected = id
    this.detail = this.detail?.id === id ? this.detail : undefined
    this.detailError = undefined
    this.#onChange()
    if (id !== undefined) await this.#load(id)
  }

  async #load (id) {
    let changes
    try {
      const response = await fetch(`contexts/${id}`, { headers: { accept: 'application/json' } })
      const body = await response.json()
      changes = response.ok ? { detail: body } : { detailError: body.message }
    } catch {
      changes = { detailError: 'The app does not answer.' }
    }
    if (this.selected === id) this.set(changes)
  }

  #hold (event) {
    this.#held.push(event)
    let kept = 0
    // what would fall out anyway need not be kept
    this.#held = this.#held.reverse().filter(({ contexts }) => (kept += contexts.length) - contexts.length < MOST).reverse()
  }

  #take ({ contexts, pools }) {
    this.pools = pools
    for (const context of contexts) {
      this.contexts.set(context.id, context)
      if (context.id === this.selected && !(this.detail?.state === 'ended' && this.detail.closed !== undefined)) this.#load(context.id)
    }
    const ids = [...this.contexts.keys()].sort((a, b) => a - b)
    if (contexts.some(({ id }) => id < ids.at(-1))) this.contexts = new Map(ids.map(id => [id, this.contexts.get(id)]))
    const ended = ids.filter(id => this.contexts.get(id).state === 'ended')
    const outstanding = ended.filter(id => standsOut(this.contexts.get(id)))
    this.#forget(outstanding, outstanding.length - MOST_STANDING_OUT)
    this.#forget(ended.filter(id => !outstanding.includes(id)), this.contexts.size - MOST)
  }

  #forget (oldest, count) {
    for (const id of oldest.slice(0, Math.max(0, count))) this.contexts.delete(id)
  }
}

export function standsOut (context) {
  return context.problems.length > 0 || (context.outcome !== undefined && context.outcome !== 'committed')
}

function textOf ({ id, method, route, name, outcome, ending, status, problems }) {
  return [`#${id}`, method, route, name, outcome, ending, status, ...problems.flatMap(({ kind, line }) => [kind, line])].join(' ').toLowerCase()
}
