import type { Rule } from '../step.ts'
import { handHooksRun, nextAttemptBegins, outcomeIsTold } from './after.ts'
import { workWritesBeside } from './beside.ts'
import { branchBegins, branchReturns } from './branch.ts'
import { commitEnds, commitIsPrepared, commitTravels, hooksAreTaken } from './commit.ts'
import { connectionArrives, connectionDies, transactionBegins, waitIsRefused } from './connection.ts'
import { workDoes, workRegistersHooks, workSettlesByHand, workWrites } from './handler.ts'
import { workHijacks } from './hijack.ts'
import { clientLeaves, replyLeaves, responseCloses, timeoutFires } from './reply.ts'
import { rollbackByHand, rollbackTakesItsTurn } from './rollback.ts'
import { rowsAreCut, streamFlows, workReadsRows } from './rows.ts'
import { workUsesSavepoint } from './savepoint.ts'
import { statementEnds } from './statement.ts'

export const RULES: readonly Rule[] = [
  workDoes, workWrites, workSettlesByHand, workRegistersHooks, branchBegins, branchReturns,
  workWritesBeside, workUsesSavepoint, workReadsRows, workHijacks,
  connectionArrives, transactionBegins, statementEnds, connectionDies, waitIsRefused,
  commitIsPrepared, commitTravels, commitEnds, hooksAreTaken, rollbackTakesItsTurn, rollbackByHand,
  outcomeIsTold, handHooksRun, nextAttemptBegins, replyLeaves, streamFlows, rowsAreCut, responseCloses, clientLeaves, timeoutFires
]
