import { sep } from 'node:path'

const FOLDER = process.cwd() + sep

/** A line of the app, from the folder on that the process has begun in: shorter, and where it is on this machine is nobody's business. */
export function lineIn (line: string | undefined): string | undefined {
  return line?.startsWith(FOLDER) === true ? line.slice(FOLDER.length) : line
}
