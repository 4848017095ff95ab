import type fastify from 'fastify'
import { createRequire } from 'node:module'

const require = createRequire(import.meta.url)

/** A second copy of Fastify in this process, such as packages bring that pin its version; `change` sees its symbols first. */
export function loadAnotherFastify (change: (symbols: Record<string, symbol>) => void = () => {}): typeof fastify {
  for (const path of Object.keys(require.cache)) {
    if (/[\\/]node_modules[\\/]fastify[\\/]/.test(path)) delete require.cache[path]
  }
  change(require('fastify/lib/symbols.js'))
  return require('fastify')
}
