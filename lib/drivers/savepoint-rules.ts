/** What a savepoint that stands for a transaction has to do itself, since it is none. Called in the savepoint's turn. */
export interface SavepointRules {
  /** Checks the constraints that wait for the commit; throws what a commit would. */
  checkDeferred (): Promise<void>
  /** Lets constraints wait again that did before. */
  defer (): Promise<void>
  /** Refuses writes from now on; resolves with what allows them again. */
  makeReadOnly (): Promise<() => Promise<void>>
  /** Notes the values of settings; resolves with what sets them again. */
  noteSettings (names: string[]): Promise<() => Promise<void>>
}

/** Sends a statement, whose parameters are `?`, and resolves with its rows. */
export type Execute = (sql: string, parameters?: unknown[]) => Promise<any[]>

export const nothing = async (): Promise<void> => {}

/** For databases that check each constraint at once. */
export const NO_RULES: SavepointRules = {
  checkDeferred: nothing,
  defer: nothing,
  makeReadOnly: async () => nothing,
  noteSettings: async () => nothing
}
