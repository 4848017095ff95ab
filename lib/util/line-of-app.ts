import { fileURLToPath } from 'node:url'

/** The first line of a stack trace that is the app's own, as `file:line:column`. `undefined` if it is out of sight. */
export function lineOfApp (stack: unknown): string | undefined {
  for (const frame of String(stack).split('\n')) {
    const [, file, position] = FRAME.exec(frame) ?? []
    if (file === undefined) continue
    const path = file.startsWith('file:') ? fileURLToPath(file) : file
    if (path.startsWith(HOOKS)) return undefined // what comes next has called Fastify, and nothing else
    if (!path.startsWith(LIBRARY) && !DEPENDENCY.test(path)) return path + position
  }
  return undefined
}

/** One in a file, and neither in Node nor in an `eval`. */
const FRAME = /(?:\(|at (?:async )?)((?:file:\/\/|\/|[A-Z]:\\).*?)(:\d+:\d+)\)?$/
const DEPENDENCY = /[\\/]node_modules[\\/]/
const LIBRARY = fileURLToPath(new URL('..', import.meta.url))
const HOOKS = fileURLToPath(new URL('../fastify/', import.meta.url))
