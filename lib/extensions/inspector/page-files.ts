import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { FST_ORM_INSPECTOR_PACKAGE } from './errors.ts'

export interface PageFile {
  readonly type: string
  readonly content: Buffer
}

const PAGE = new URL('page/', import.meta.url)
const TYPES: Record<string, string> = { html: 'text/html; charset=utf-8', js: 'text/javascript; charset=utf-8', css: 'text/css; charset=utf-8' }
const FILES = ['index.html', 'style.css', 'inspector.js', 'contexts.js', 'waterfall.js', 'pools.js', 'store.js', 'format.js', 'html.js']
/** Of each, one file that imports nothing: as `preact.js` and `htm.js`. */
const PACKAGES = ['preact', 'htm']

/** All that the browser loads, by its name. Throws `FST_ORM_INSPECTOR_PACKAGE`. */
export async function readPageFiles (path: string, packages: readonly string[] = PACKAGES): Promise<Map<string, PageFile>> {
  const ours = FILES.map(async name => [name, { type: TYPES[name.split('.')[1]!]!, content: await readFile(new URL(name, PAGE)) }] as const)
  const others = packages.map(async name => [`${name}.js`, { type: TYPES.js!, content: await readPackage(name) }] as const)
  const files = new Map<string, PageFile>(await Promise.all([...ours, ...others]))
  const index = files.get('index.html')!
  files.set('index.html', { ...index, content: Buffer.from(index.content.toString().replaceAll('{path}', path)) })
  return files
}

/** Resolved when it is needed, since only the inspector needs it. */
async function readPackage (name: string): Promise<Buffer> {
  try {
    return await readFile(fileURLToPath(import.meta.resolve(name)))
  } catch {
    throw new FST_ORM_INSPECTOR_PACKAGE(name)
  }
}

/** For `ETag`: a browser need not load it again. */
export function tagOf ({ content }: PageFile): string {
  return `"${createHash('sha256').update(content).digest('base64url').slice(0, 22)}"`
}
