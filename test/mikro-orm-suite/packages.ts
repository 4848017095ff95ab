import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import type { Plugin } from 'vite'

export const root: string = fileURLToPath(new URL('../..', import.meta.url))

/**
 * Gives MikroORM's tests the packages that are installed here, since those are what is tested. What is not installed comes from
 * the checkout: the sources of MikroORM's other packages, and what its `node_modules` has.
 */
export function installedPackages (checkout: string): Plugin {
  const shared = sharedPackages()
  return {
    name: 'installed-packages',
    enforce: 'pre',
    resolveId (id) {
      if (id.startsWith('@mikro-orm/')) return installed(id) ?? sourceOf(checkout, id)
      return shared.has(id) ? installed(id) : undefined
    }
  }
}

/**
 * The entities have decorators, whose types are read at run time: of the compilers here, only TypeScript's own writes them down.
 */
export const decorators: Plugin = {
  name: 'decorators',
  enforce: 'pre',
  transform (code, id) {
    if (!/\.[cm]?ts$/.test(id) || id.includes('/node_modules/')) return undefined
    let compiled = compiledCode.get(code)
    if (compiled === undefined) compiledCode.set(code, compiled = ts.transpileModule(code, { fileName: id, compilerOptions }).outputText)
    return { code: compiled, map: null }
  }
}

/** The same files are run several times. */
const compiledCode = new Map<string, string>()

const compilerOptions: ts.CompilerOptions = {
  target: ts.ScriptTarget.ES2023,
  module: ts.ModuleKind.ESNext,
  experimentalDecorators: true,
  emitDecoratorMetadata: true,
  inlineSourceMap: true
}

export function versionHere (): string {
  return manifest(join(root, 'node_modules', '@mikro-orm', 'core')).version
}

export function versionOf (checkout: string): string {
  return manifest(join(checkout, 'packages', 'core')).version
}

/** There must be one copy of these in a process: MikroORM's packages use them as well. */
function sharedPackages (): Set<string> {
  const names = ['core', 'sql', 'sqlite', 'postgresql'].map(name => join(root, 'node_modules', '@mikro-orm', name))
  return new Set([...names.flatMap(folder => Object.keys(manifest(folder).dependencies ?? {})), 'reflect-metadata'])
}

function installed (id: string): string | undefined {
  try {
    return fileURLToPath(import.meta.resolve(id))
  } catch {
    return undefined
  }
}

function sourceOf (checkout: string, id: string): string | undefined {
  const name = /^@mikro-orm\/([a-z-]+)$/.exec(id)?.[1]
  const file = name && join(checkout, 'packages', name, 'src', 'index.ts')
  return file && ts.sys.fileExists(file) ? file : undefined
}

function manifest (folder: string): { version: string, dependencies?: Record<string, string> } {
  return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
}
