import type fc from 'fast-check'

/** A database that statements are tried on. */
export interface TriedDatabase {
  try (sql: string): Promise<Tried>
  close (): Promise<void>
}

export interface Tried {
  /** The database did not run it to its end. */
  isRefused: boolean
  /** What has changed, as the database tells it. Nothing of that is kept. */
  changes: string[]
}

export interface TriedDialect {
  statements: fc.Arbitrary<string>
  /** Which change something, each in another way. */
  writes: string[]
  open (): Promise<TriedDatabase>
}

/** The names of those that differ. */
export function differences (before: object, after: object): string[] {
  return Object.entries(after).filter(([name, value]) => value !== (before as Record<string, unknown>)[name]).map(([name]) => name)
}
