/** Draws the table of states of `lib/context/settlement.ts` in `docs/settlement.md`, as Mermaid, which GitHub shows. */
import { readFile, writeFile } from 'node:fs/promises'
import { TABLE, type SettlementEvent, type State } from '../lib/context/settlement.ts'

const DOCS = new URL('../docs/settlement.md', import.meta.url)
const BETWEEN_MARKS = /(?<=<!-- diagram -->\n)[^]*(?=<!-- end of diagram -->)/

function drawDiagram (): string {
  const id = (state: string): string => state.replace(', ', '_')
  const states = Object.keys(TABLE) as State[]
  const arrows = states.flatMap(state => (Object.entries(TABLE[state]) as Array<[SettlementEvent, State]>)
    .map(([event, next]) => `  ${id(state)} --> ${id(next)}: ${event}`))
  return ['```mermaid', 'stateDiagram-v2', `  [*] --> ${states[0]}`, ...states.filter(state => state.includes(',')).map(state => `  ${id(state)}: ${state}`),
    ...arrows, `  ${states.at(-1)} --> [*]`, '```', ''].join('\n')
}

/** The same text with the diagram as it is now. */
export function replaceDiagram (docs: string): string {
  return docs.replace(BETWEEN_MARKS, drawDiagram())
}

if (import.meta.main) await writeFile(DOCS, replaceDiagram(await readFile(DOCS, 'utf8')))
