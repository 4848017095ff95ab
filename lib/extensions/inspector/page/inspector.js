import { Contexts } from './contexts.js'
import { html } from './html.js'
import { Pools } from './pools.js'
import { render } from './preact.js'
import { Store } from './store.js'
import { Detail } from './waterfall.js'

const base = new URL(document.baseURI).pathname
let isScheduled = false
const store = new Store(() => {
  if (isScheduled) return
  isScheduled = true
  requestAnimationFrame(() => {
    isScheduled = false
    render(html`<${Page} />`, document.body)
  })
})

function Page () {
  const { pools, filter, onlyProblems, isPaused, isConnected, selected, detail, detailError, waiting } = store
  return html`
    <header class="top">
      <h1>Contexts</h1>
      <p class=${`state ${isConnected ? '' : 'bad'}`} role="status">${!isConnected ? 'not connected' : isPaused ? `paused, ${waiting} changed` : 'live'}</p>
      <form class="tools" role="search" onSubmit=${event => event.preventDefault()}>
        <input id="filter" type="search" placeholder="Filter: route, outcome, line…" aria-label="Filter" aria-keyshortcuts="/" value=${filter} onInput=${({ target }) => store.set({ filter: target.value })} />
        <label><input type="checkbox" checked=${onlyProblems} onChange=${({ target }) => store.set({ onlyProblems: target.checked })} /> problems only</label>
        <button type="button" id="pause" aria-pressed=${String(isPaused)} aria-keyshortcuts="p" onClick=${togglePause}>${isPaused ? 'Go on' : 'Pause'}</button>
      </form>
    </header>
    <${Pools} pools=${pools} open=${open} />
    <main class=${selected === undefined ? '' : 'with-detail'}>
      <div class="list"><${Contexts} contexts=${store.shown} selected=${selected} open=${open} isFiltered=${filter !== '' || onlyProblems} /></div>
      ${selected !== undefined && html`<${Detail} id=${selected} detail=${detail} error=${detailError} close=${() => go(undefined)} />`}
    </main>
    <footer><kbd>/</kbd> filter <kbd>p</kbd> pause <kbd>j</kbd> <kbd>k</kbd> next, previous <kbd>Esc</kbd> close</footer>`
}

function togglePause () {
  store.set({ isPaused: !store.isPaused })
}

function open (event, id) {
  if (event.metaKey || event.ctrlKey || event.shiftKey) return // a tab of its own
  event.preventDefault()
  event.stopPropagation()
  go(id)
}

/** So that the address leads there again. */
function go (id) {
  if (id !== store.selected) history.pushState(null, '', id === undefined ? base.slice(0, -1) : `${base}contexts/${id}`)
  store.select(id)
}

function selectByAddress () {
  const [, id] = /\/contexts\/(\d+)$/.exec(location.pathname) ?? []
  store.select(id === undefined ? undefined : Number(id))
}

/** The next context of the list, or the one before. */
function move (by) {
  const ids = store.shown.map(({ id }) => id)
  const at = ids.indexOf(store.selected)
  const id = ids[at === -1 ? 0 : Math.min(ids.length - 1, Math.max(0, at + by))]
  if (id === undefined) return
  go(id)
  requestAnimationFrame(() => document.querySelector(`tr[data-id="${id}"]`)?.scrollIntoView({ block: 'nearest' }))
}

const KEYS = {
  '/': () => document.getElementById('filter').focus(),
  p: togglePause,
  j: () => move(1),
  k: () => move(-1),
  ArrowDown: () => move(1),
  ArrowUp: () => move(-1),
  Escape: () => go(undefined)
}

addEventListener('keydown', event => {
  const isTyping = event.target.matches('input[type=search]')
  if (event.metaKey || event.ctrlKey || event.altKey) return
  if (isTyping && event.key === 'Escape') event.target.blur()
  if (event.key.startsWith('Arrow') && event.target.closest('.detail') !== null) return // where they scroll
  if (isTyping || !Object.hasOwn(KEYS, event.key)) return
  event.preventDefault()
  KEYS[event.key]()
})
addEventListener('popstate', selectByAddress)
document.body.replaceChildren()
selectByAddress()
store.connect()
