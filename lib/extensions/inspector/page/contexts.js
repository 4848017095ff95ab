import { clock, labelOf, outcomeOf, shortLine, time } from './format.js'
import { html } from './html.js'
import { Component } from './preact.js'
import { standsOut } from './store.js'

/** The last contexts, the newest first. */
export function Contexts ({ contexts, selected, open, isFiltered }) {
  if (contexts.length === 0) return html`<p class="empty">${isFiltered ? 'None of the last contexts fits the filter.' : 'No context has used a database yet. Send the app a request.'}</p>`
  return html`
    <table class="contexts">
      <thead><tr>
        <th>at</th><th>context</th><th>outcome</th><th class="number">reads</th><th class="number">writes</th><th class="number">held</th><th class="number">waited</th><th class="number">took</th>
      </tr></thead>
      <tbody>${contexts.map(context => html`<${Row} key=${context.id} context=${context} isSelected=${context.id === selected} open=${open} />`)}</tbody>
    </table>`
}

/** Rendered again only if its context is told of anew: there are hundreds, and a few changes each second. */
class Row extends Component {
  shouldComponentUpdate ({ context, isSelected }) {
    return context !== this.props.context || isSelected !== this.props.isSelected
  }

  render ({ context, isSelected, open }) {
    const { id, began, ending, status, reads, writes, heldMs, waitedMs, duration, attempts, problems } = context
    const outcome = outcomeOf(context)
    return html`
      <tr class=${`${standsOut(context) ? 'stands-out' : ''} ${isSelected ? 'selected' : ''}`} data-id=${id} onClick=${event => open(event, id)}>
        <td class="at">${clock(began)}</td>
        <td class="label">
          <a href=${`contexts/${id}`} aria-current=${isSelected ? 'true' : undefined}>${labelOf(context)}</a>
          ${attempts > 1 && html` <span class="badge">attempt ${attempts}</span>`}
          ${problems.slice(0, 1).map(({ kind, text, line }) => html`<span class=${`problem ${kind}`} title=${`${text}\n${line ?? ''}`}><span>${text}</span>${line !== undefined && html`<code>${shortLine(line)}</code>`}</span>`)}
        </td>
        <td class="ended"><span class=${`outcome ${outcome.replace(' ', '-')}`}>${outcome}</span> <span class="ending">${ending}${status === undefined ? '' : ` ${status}`}</span></td>
        <td class="number" data-name="reads">${reads}</td>
        <td class="number" data-name="writes">${writes}</td>
        <td class=${`number ${heldMs >= 500 ? 'bad' : ''}`} data-name="held">${heldMs > 0 ? time(heldMs) : '–'}</td>
        <td class=${`number ${waitedMs >= 100 ? 'bad' : ''}`} data-name="waited">${waitedMs >= 0.05 ? time(waitedMs) : '–'}</td>
        <td class="number" data-name="took">${time(duration)}</td>
      </tr>`
  }
}
