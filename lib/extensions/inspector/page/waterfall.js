import { clock, labelOf, outcomeOf, shortLine, time } from './format.js'
import { html } from './html.js'

/** One context, from its beginning to its last byte. */
export function Detail ({ id, detail, error, close }) {
  const context = detail
  return html`
    <section class="detail" aria-label=${`Context ${id}`} tabindex="-1">
      <header>
        <h2>${context === undefined ? `Context ${id}` : labelOf(context)}</h2>
        <button type="button" class="close" onClick=${close} aria-label="Back to the list">Close</button>
      </header>
      ${error !== undefined && html`<p class="problem-text">${error}</p>`}
      ${context !== undefined && html`<${Facts} context=${context} /><${Problems} problems=${context.problems} /><${Waterfall} context=${context} />`}
    </section>`
}

function Facts ({ context }) {
  const { id, began, requestId, ending, error, status, reads, writes, flushes, heldMs, waitedMs, attempts, duration } = context
  const outcome = outcomeOf(context)
  return html`
    <p class="facts">
      <span class=${`outcome ${outcome.replace(' ', '-')}`}>${outcome}</span>
      ${ending !== undefined && html` by <b>${ending}</b>`}${status !== undefined && html`, status <b>${status}</b>`}${error !== undefined && html`: ${error}`}
    </p>
    <p class="facts">
      reads <b>${reads}</b>, writes <b>${writes}</b>, flushes <b>${flushes}</b>, held <b>${time(heldMs)}</b>, waited <b>${time(waitedMs)}</b>, took <b>${time(duration)}</b>${attempts > 1 && `, attempt ${attempts}`}
    </p>
    <p class="facts small">context ${id}${requestId !== undefined && `, request ${requestId}`}, at ${clock(began)}, <a href=${`contexts/${id}`} target="_blank" onClick=${showJson}>JSON</a></p>`
}

/** A link would ask for the page. */
async function showJson (event) {
  event.preventDefault()
  const response = await fetch(event.target.href, { headers: { accept: 'application/json' } })
  const text = JSON.stringify(await response.json(), undefined, 2)
  open(URL.createObjectURL(new Blob([text], { type: 'application/json' })))
}

function Problems ({ problems }) {
  if (problems.length === 0) return null
  return html`
    <ul class="problems">${problems.map(({ kind, text, line }) => html`
      <li class=${kind}>${text}${line !== undefined && html`<code class="line">${line}</code>`}</li>`)}
    </ul>`
}

function Waterfall ({ context }) {
  const rows = rowsOf(context)
  const end = Math.max(1, context.state === 'ended' ? 0 : context.duration, ...rows.map(({ at, waited = 0, length = 0 }) => at + waited + length))
  const percent = ms => `${Math.min(100, Math.max(0, ms / end * 100)).toFixed(2)}%`
  const spans = context.transactions.map(({ began, ended = end }) => ({ left: percent(began), width: percent(ended - began) }))
  return html`
    <ol class="waterfall">
      <li class="scale" aria-hidden="true"><div class="bars"><span>0</span><span>${time(end)}</span></div></li>
      ${rows.map(({ kind, at, waited = 0, length = 0, title, line, notes, isBad }) => html`
        <li class=${`${kind} ${isBad ? 'bad-row' : ''}`}>
          <div class="what">
            <span class="kind">${kind.replace('-', ' ')}</span>
            <code class="sql">${title}</code>
            ${line !== undefined && html`<code class="line" title=${line}>${shortLine(line)}</code>`}
            ${notes.map(note => html`<span class="note">${note}</span>`)}
          </div>
          <div class="bars" title=${`at ${time(at)}, waited ${time(waited)}, took ${time(length)}`}>
            ${spans.map(({ left, width }) => html`<i class="in-transaction" style=${{ left, width }}></i>`)}
            ${waited > 0.05 && html`<i class="wait" style=${{ left: percent(at), width: percent(waited) }}></i>`}
            <i class="bar" style=${{ left: percent(at + waited), width: percent(length) }}></i>
          </div>
          <span class="took">${length > 0 ? time(length) : html`at ${time(at)}`}</span>
        </li>`)}
    </ol>
    ${context.leftOut > 0 && html`<p class="facts small">${context.leftOut} more are not kept.</p>`}`
}

function rowsOf (context) {
  const { statements, calls, transactions, firstByte, closed, kind } = context
  const shown = statements.filter(statement => statement.kind !== 'begin' || !transactions.some(({ number }) => number === statement.transaction))
  const begins = new Map(statements.filter(statement => statement.kind === 'begin').map(statement => [statement.transaction, statement]))
  return [
    ...kind === 'request' ? [{ kind: 'request', at: 0, title: `${context.method} ${context.route ?? ''}`, notes: [] }] : [],
    ...shown.map(statementRow),
    ...transactions.map(transaction => beginRow(transaction, begins.get(transaction.number))),
    ...calls.map(({ method, url, started, duration, status, held }) => ({
      kind: 'call', at: started, length: duration ?? context.duration - started, title: `${method} ${url}`, isBad: held, notes: [...held ? ['while a transaction held a connection'] : [], status ?? 'no answer']
    })),
    ...firstByte === undefined ? [] : [{ kind: 'first-byte', at: firstByte, title: `status ${context.status}`, notes: [] }],
    ...closed === undefined ? [] : [{ kind: 'closed', at: closed, title: 'the last byte, or the client has gone', notes: [] }]
  ].sort((a, b) => (a.at + (a.waited ?? 0)) - (b.at + (b.waited ?? 0)) || Number(b.kind === 'BEGIN') - Number(a.kind === 'BEGIN'))
}

function beginRow ({ sql, line, began }, begin) {
  const waited = begin?.waited ?? 0
  return {
    kind: 'BEGIN', at: began - waited, waited, length: begin?.duration ?? 0, title: sql === undefined ? 'asked for' : `forced by ${sql}`, line, isBad: waited >= 100, notes: waitNotes(begin)
  }
}

function statementRow (statement) {
  const { kind, sql, asked, waited, duration, rows, line, error, times = 1, replica, server, sent } = statement
  const isEnd = kind === 'commit' || kind === 'rollback'
  return {
    kind: isEnd ? kind.toUpperCase() : kind,
    at: asked,
    waited,
    length: duration,
    title: isEnd ? '' : sql,
    line,
    isBad: error !== undefined || duration >= 200 || times >= 5,
    notes: [
      ...error === undefined ? [] : [error], ...sent ? [] : ['not sent'], ...times > 1 ? [`${times} times`] : [], ...replica ? [`replica ${server}`] : [],
      ...rows === undefined || isEnd ? [] : [`${rows} ${rows === 1 ? 'row' : 'rows'}`], ...waitNotes(statement)
    ]
  }
}

function waitNotes (statement) {
  return (statement?.waitedFor ?? []).map(({ label, line, heldMs }) => `waited for ${label}, which held one for ${time(heldMs)}${line === undefined ? '' : ` since ${shortLine(line)}`}`)
}
