import { captureLines, type BegunEvent, type ContextOrmChannels, type FailedEvent, type SettledEvent, type StatementEvent } from '../../../index.ts'
import { listen } from '../../util/listen.ts'
import { lineIn } from './line.ts'
import { isLongWait } from './problems.ts'
import type { Records } from './records.ts'

/** Notes what the core tells, until the function that it returns is called. */
export function watchContexts (records: Records): () => void {
  const { holdings } = records

  function onStatement (event: StatementEvent): void {
    const { context, kind, database, transaction, started, waited, error } = event
    const record = records.of(context, started - waited)
    if (kind === 'begin' && error === undefined) {
      record.begin(transaction!, database, started)
      holdings.begin({ context: context.id, label: record.label, database, transaction: transaction!, since: started })
    }
    const waitedFor = isLongWait(waited) ? holdings.during(started - waited, started, { database, context: context.id }) : undefined
    record.addStatement({ ...event, line: lineIn(event.line) }, waitedFor)
    if ((kind === 'commit' || kind === 'rollback') && transaction !== undefined) holdings.end(transaction)
    records.change(record)
  }

  function onBegun ({ context, transaction, sql, line, database }: BegunEvent): void {
    const record = records.of(context)
    const at = lineIn(line)
    record.explain(transaction, sql, at)
    holdings.explain(transaction, sql === undefined ? undefined : record.shown(sql, database), at)
    records.change(record)
  }

  function onSettled (event: SettledEvent): void {
    holdings.endAllOf(event.id, event.database)
    const record = records.find(event.id)
    if (record === undefined) return
    record.settle(event)
    records.end(record)
  }

  function onFailed (event: FailedEvent): void {
    const record = records.find(event.id)
    if (record === undefined) return
    record.addFailure(event)
    records.change(record)
  }

  const stopCapturing = captureLines()
  const stop = listen<ContextOrmChannels>({
    'fastify-context-orm:statement': onStatement,
    'fastify-context-orm:begun': onBegun,
    'fastify-context-orm:settled': onSettled,
    'fastify-context-orm:failed': onFailed
  })
  return () => {
    stopCapturing()
    stop()
  }
}
