import type { TestPool } from './databases.ts'
import type { ServerConnection } from './engines/engine.ts'
import { until } from './until.ts'

/** Which connection of the server is meant. */
export type Is = (connection: ServerConnection) => boolean

type Connections = Pick<TestPool, 'connections'>

export const isSleeping: Is = ({ isSleeping }) => isSleeping
export const isBlocked: Is = ({ isBlocked }) => isBlocked
export const isBusy: Is = ({ sql, isInTransaction }) => sql !== null || isInTransaction
export const runs = (expected: string): Is => ({ sql }) => sql === expected

/** Resolves with the first one as soon as there is one. */
export async function untilOne ({ connections }: Connections, is: Is): Promise<ServerConnection> {
  let found: ServerConnection | undefined
  await until(async () => (found = (await connections()).find(is)) !== undefined)
  return found!
}

export async function untilNone ({ connections }: Connections, is: Is): Promise<void> {
  await until(async () => !(await connections()).some(is))
}
