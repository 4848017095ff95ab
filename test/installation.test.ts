import { readFile } from 'node:fs/promises'
import t from 'tap'

async function read (file: string): Promise<any> {
  return JSON.parse(await readFile(new URL(`../${file}`, import.meta.url), 'utf8'))
}

/**
 * better-sqlite3 13.0.3 brings its binaries and says `gypfile: false`, but npm 10 and 11 do not write that into the lock
 * file, and then `npm ci` compiles it, which takes a compiler. After an `npm install` it has to be added again by hand.
 */
t.test('npm ci needs no compiler', async t => {
  const lock = await read('package-lock.json')
  t.equal(lock.packages['node_modules/better-sqlite3'].gypfile, false)
})

t.test('every install script of a dependency is decided upon', async t => {
  const { allowScripts } = await read('package.json')
  const { packages } = await read('package-lock.json')
  const scripted = Object.entries<any>(packages)
    .filter(([path, { hasInstallScript }]) => hasInstallScript === true && path !== '')
    .map(([path]) => path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length))
  t.ok(scripted.length > 0)
  t.strictSame(scripted.filter(name => !(name in allowScripts)), [])
})

t.test('the lock file names no address', async t => {
  t.notMatch(await readFile(new URL('../package-lock.json', import.meta.url), 'utf8'), /"resolved": "http/)
})
