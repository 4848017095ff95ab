/** How a test has ended. */
export interface Result {
  state: 'passed' | 'failed' | 'skipped'
  /** The first line of what it failed with. */
  error?: string
  /** Statements that went through a context. */
  statements: number
}

/** Tests by their file and full name. */
export interface Results {
  tests: Map<string, Result>
  /** Files that could not be loaded, and why. */
  notLoaded: Map<string, string>
}

/** Tests that fail in a context and not outside of it, with the reason: full names, by file. */
export interface Explained {
  why: string
  tests: Record<string, string[]>
}

export interface Runs {
  plain: Results
  inContext: Results
  /** Of files that have differences in contexts: with a commit after each flush, as MikroORM does by itself. */
  committing: Results
  /** Of the same files: in MikroORM's own RequestContext. */
  requestContext: Results
}

export interface Comparison {
  /** Tests that pass as they are, and do not need the EntityManager of another test. */
  compared: string[]
  /** Of those, how many have passed in a context, and have sent statements through it. */
  used: number
  /** They fail in a context, and in MikroORM's own RequestContext as well. */
  needShared: string[]
  /** They fail or are skipped as they are. */
  failPlain: string[]
  /** They fail in a context, and pass if it commits after each flush: they count `begin`, or look from outside of the transaction. */
  sooner: string[]
  explained: string[]
  unexplained: string[]
  /** In the list, and no difference. */
  outdated: string[]
  /** In the list, and not compared. */
  absent: string[]
}

export function compare ({ plain, inContext, committing, requestContext }: Runs, list: Explained[]): Comparison {
  const listed = new Set(list.flatMap(({ tests }) => Object.entries(tests).flatMap(([file, names]) => names.map(name => keyOf(file, name)))))
  const passIn = ({ tests }: Results) => (key: string): boolean => tests.get(key)?.state === 'passed'
  const failIn = (results: Results) => (key: string): boolean => !passIn(results)(key)
  const all = [...plain.tests.keys()]
  const passPlain = all.filter(passIn(plain))
  const needShared = passPlain.filter(failIn(inContext)).filter(failIn(requestContext))
  const compared = passPlain.filter(key => !needShared.includes(key))
  const differ = compared.filter(failIn(inContext))
  const differences = differ.filter(failIn(committing))
  return {
    compared,
    used: compared.filter(key => passIn(inContext)(key) && inContext.tests.get(key)!.statements > 0).length,
    needShared,
    failPlain: all.filter(failIn(plain)),
    sooner: differ.filter(passIn(committing)),
    explained: differences.filter(key => listed.has(key)),
    unexplained: differences.filter(key => !listed.has(key)),
    outdated: [...listed].filter(key => compared.includes(key) && !differences.includes(key)),
    absent: [...listed].filter(key => !compared.includes(key))
  }
}

export function keyOf (file: string, name: string): string {
  return `${file}: ${name}`
}
