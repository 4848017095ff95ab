/** What must be so: see `invariants.ts`. */
export type Invariant = 'one outcome' | 'what was told is so' | 'work is done once' | 'connections' | 'hooks' | 'one at a time' | 'everything ends' | 'no wait in a circle'

/** What the model can be made to do wrong: by the plan whose search finds it, and with the invariant that it breaks there. */
export const FAULTS = {
  'a request': {
    'an abort overtakes a commit that was sent': 'one outcome',
    'an error overtakes a commit that was sent': 'what was told is so',
    'the reply leaves before its commit is answered': 'what was told is so',
    'a commit goes on though the context has ended': 'what was told is so',
    'an error after the commit is sent': 'what was told is so',
    'a commit in doubt is told as a failure': 'what was told is so',
    'a commit in doubt is run again': 'work is done once',
    'a commit by hand is forgotten by the next attempt': 'work is done once',
    'an attempt begins before the one before is rolled back': 'connections',
    'a commit passes over a statement that has failed': 'what was told is so',
    'a connection that has died is taken for one that has committed': 'what was told is so',
    'an error status commits': 'what was told is so',
    'what a failed commit by hand has lost is not told': 'what was told is so',
    'a connection is kept when COMMIT fails': 'connections',
    'a connection is given back twice when COMMIT fails': 'connections',
    'a connection that comes after the end is kept': 'connections',
    'writes are accepted after the end': 'what was told is so',
    'an abort takes the hooks of a commit by hand': 'hooks',
    'hooks of a commit in doubt are run': 'hooks',
    'hooks are run before the commit is answered': 'hooks',
    'hooks after the end are the last thing that happens': 'everything ends',
    'a close before the end is forgotten': 'everything ends',
    'a client that leaves is not noticed': 'everything ends'
  },
  'a request with a branch, on SQLite': {
    'a rollback waits for a connection of its own': 'no wait in a circle',
    'nobody looks for a context around that holds the connection': 'no wait in a circle'
  },
  'a request with a branch, on a pool of one': {
    'a starved pool is not noticed': 'no wait in a circle'
  },
  'a request with statements at once': {
    'statements of one context are sent at once': 'one at a time',
    'a commit passes over a statement that waits': 'what was told is so',
    'a rollback passes over a statement that is running': 'one at a time',
    'a statement is sent after one that has failed': 'what was told is so'
  },
  'a request with a savepoint, and what is written beside': {
    'a savepoint that is gone back to keeps what is inside': 'what was told is so',
    'what still comes from a savepoint that was gone back to is accepted': 'what was told is so',
    'what a savepoint takes along is not told': 'what was told is so',
    'half of a savepoint is committed': 'what was told is so',
    'a commit by hand ends a savepoint': 'what was told is so'
  },
  'a request that reads rows, and replies with a stream': {
    'rows keep a savepoint from being gone back to': 'what was told is so',
    'a commit cuts rows, and nobody is told': 'what was told is so',
    'the first chunk of a stream does not wait for the commit': 'what was told is so',
    'a commit waits for the first chunk of a stream that waits for rows': 'everything ends',
    'rows that nobody reads on keep their connection': 'everything ends',
    'the connection of rows that are cut is given back twice': 'connections',
    'a context that waits for its own rows is not noticed': 'no wait in a circle'
  },
  'a request whose reply is hijacked': {
    'a hijacked reply commits when it ends': 'what was told is so',
    'nobody looks at the end of a hijacked reply': 'everything ends'
  }
} as const satisfies Record<string, Record<string, Invariant>>

type FaultsIn<Plan> = Plan extends keyof typeof FAULTS ? keyof typeof FAULTS[Plan] : never

export type Fault = FaultsIn<keyof typeof FAULTS>
