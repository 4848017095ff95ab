import { captureLines } from '../../../index.ts'
import { guardForeignEntities, guardLostEntities } from './entities.ts'
import { Findings, type LogOf } from './findings.ts'
import { guardHeldTransactions } from './held-transactions.ts'
import { checkGuardOptions, type GuardName, type GuardOptions, type Settings } from './options.ts'
import { guardOutgoingCalls } from './outgoing-calls.ts'
import { guardRepeatedStatements } from './repeated-statements.ts'

type Start = (findings: Findings, settings: Settings) => () => void

const GUARDS: Record<GuardName, Start> = {
  outgoingCalls: (findings, { allowedHosts }) => guardOutgoingCalls(findings, allowedHosts),
  repeatedStatements: (findings, { maxRepeats }) => guardRepeatedStatements(findings, maxRepeats),
  heldTransactions: (findings, { maxHeldMs }) => guardHeldTransactions(findings, maxHeldMs),
  foreignEntities: guardForeignEntities,
  lostEntities: guardLostEntities
}

/**
 * Guards all contexts of the process, for programs and tests without an app: what is found there is a warning of the process. The function
 * that it returns ends that. Throws `FST_ORM_BAD_OPTION`.
 */
export function startGuards (options: GuardOptions): () => void {
  return guardContexts(checkGuardOptions(options), () => undefined)
}

/** The same, with logs. Of guards that are off, nothing is there. */
export function guardContexts (settings: Settings, logOf: LogOf): () => void {
  const names = Object.keys(settings.levels) as GuardName[]
  if (names.length === 0) return () => {}
  const findings = new Findings(settings.levels, logOf)
  const ends = [captureLines(), ...names.map(name => GUARDS[name](findings, settings))]
  return () => { for (const end of ends.splice(0)) end() }
}
