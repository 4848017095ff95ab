/** What became of a context. One that used a database and only read is `committed`. */
export type Outcome = 'untouched' | 'committed' | 'rolledBack' | 'commitFailed'

/** What caused the outcome: see the table of endings in the README. */
export type Ending = 'reply' | 'status' | 'error' | 'abort' | 'close' | 'return' | 'throw'
