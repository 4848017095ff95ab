import t from 'tap'
import { ownerOfIndependent, type TransactionOwner } from '../../lib/transaction/transaction-owner.ts'

t.test('a transaction beside that of its context asks the context, and tells it nothing of its own', async t => {
  const told: string[] = []
  const tell = (name: string) => () => { told.push(name) }
  const context = {
    name: 'POST /',
    outcome: 'committed',
    isAborted: true,
    caller: undefined,
    log: undefined,
    warnHeldMs: 1,
    streamTimeout: 2,
    connectionsOf: () => 3,
    report: tell('report'),
    onStreamTimeout: tell('onStreamTimeout'),
    hastenCommit: tell('hastenCommit'),
    noteStatement: tell('noteStatement'),
    noteRollback: tell('noteRollback'),
    onBegun: tell('onBegun'),
    untilSettled: tell('untilSettled'),
    wentBackTo: tell('wentBackTo')
  } as unknown as TransactionOwner
  const owner: any = ownerOfIndependent(context)
  t.match(owner, { name: 'POST /', outcome: 'committed', isAborted: true, caller: undefined, log: undefined, warnHeldMs: 1, streamTimeout: 2 })
  t.equal(owner.parent, context)
  t.equal(owner.connectionsOf(), 0, 'the context counts its connection')
  for (const method of ['report', 'onStreamTimeout', 'hastenCommit', 'noteStatement', 'noteRollback', 'onBegun', 'untilSettled', 'wentBackTo']) await owner[method]()
  t.strictSame(told, ['report', 'onStreamTimeout', 'hastenCommit'])
})
