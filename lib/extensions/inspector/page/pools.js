import { shortLine, time } from './format.js'
import { html } from './html.js'

/** Who holds the connections of each database, and how many wait for one. */
export function Pools ({ pools, open }) {
  return html`<section class="pools" aria-label="Connections">${pools.map(pool => html`<${Pool} key=${pool.database} pool=${pool} open=${open} />`)}</section>`
}

function Pool ({ pool, open }) {
  const { database, max, held, reading, waiting, driver, holders } = pool
  const used = driver === undefined ? held + reading : driver.open - driver.idle
  const size = Math.max(max ?? used, used)
  const queued = Math.max(waiting, driver?.waiting ?? 0)
  const slots = Array.from({ length: Math.min(size, 50) }, (_, i) => i < held ? 'held' : i < used ? 'reading' : 'idle')
  const isStarved = queued > 0 && used >= size
  return html`
    <article class=${`pool ${isStarved ? 'starved' : ''}`}>
      <h2>${database}</h2>
      <p class="slots" role="img" aria-label=${`${held} connections held, ${used - held} reading, ${size - used} idle`}>
        ${slots.map(slot => html`<span class=${`slot ${slot}`}></span>`)}
      </p>
      <p class="numbers"><b>${used}</b> of ${max ?? '?'} taken, <b>${Math.max(0, size - used)}</b> idle, <b class=${queued > 0 ? 'bad' : ''}>${queued}</b> waiting</p>
      ${holders.length > 0 && html`
        <ul class="holders">${holders.slice(0, 5).map(({ context, label, heldMs, line, sql }) => html`
          <li key=${context}>
            <a href=${`contexts/${context}`} onClick=${event => open(event, context)}>${label}</a> holds one for <b class=${heldMs > 500 ? 'bad' : ''}>${time(heldMs)}</b>
            ${line === undefined ? '' : html` since <code title=${`${line}\n${sql ?? ''}`}>${shortLine(line)}</code>`}
          </li>`)}
          ${holders.length > 5 && html`<li>and ${holders.length - 5} more</li>`}
        </ul>`}
    </article>`
}
