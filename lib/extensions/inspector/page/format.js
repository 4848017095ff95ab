/** 812 ms, 1.24 s, 3 min. */
export function time (ms) {
  if (ms === undefined) return ''
  if (ms < 10) return `${ms.toFixed(1)} ms`
  if (ms < 1000) return `${Math.round(ms)} ms`
  if (ms < 100_000) return `${(ms / 1000).toFixed(2)} s`
  return `${Math.round(ms / 60_000)} min`
}

export function clock (began) {
  const date = new Date(began)
  return `${date.toLocaleTimeString('en-GB')}.${String(date.getMilliseconds()).padStart(3, '0')}`
}

/** The end of a path tells files apart; all of it is in the title. */
export function shortLine (line) {
  return line === undefined ? '' : line.split(/[\\/]/).slice(-2).join('/')
}

export function labelOf ({ kind, method, route, name }) {
  return kind === 'request' ? `${method} ${route ?? '(no route)'}` : `${kind} ${name ?? ''}`
}

const OUTCOMES = { committed: 'committed', rolledBack: 'rolled back', commitFailed: 'commit failed', untouched: 'untouched' }

/** What has become of it, or what it does. */
export function outcomeOf ({ outcome, state, isWaiting }) {
  return outcome === undefined ? (isWaiting ? 'waiting' : state) : OUTCOMES[outcome]
}
