/** What whoever has started the import can do something about. The message is for them, and the stack for nobody. */
export class ImportError extends Error {}

/** A row of the file, or all of it, that cannot be imported. */
export class BadRow extends ImportError {}

export function badRow (file: string, line: number, expected: string, got: string): BadRow {
  return new BadRow(`${file}, line ${line}: expected ${expected}, got ${got}`)
}
