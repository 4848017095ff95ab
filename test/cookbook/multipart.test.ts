import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { buildApp, Scan } from '../../examples/cookbook/multipart/app.ts'
import { clientOf, onEachShelf } from '../support/cookbook.ts'
import { until } from '../support/until.ts'

const entities = { entities: [Scan] }

async function emptyFolder (t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'scans-'))
  t.teardown(() => rm(folder, { recursive: true }))
  return folder
}

function form (files: Record<string, string>): FormData {
  const data = new FormData()
  for (const [name, content] of Object.entries(files)) data.append('scan', new Blob([content]), name)
  return data
}

onEachShelf('what is uploaded is kept with its rows, or not at all', async (t, { open, query }) => {
  const folder = await emptyFolder(t)
  const { url } = await clientOf(t, buildApp({ orm: open, folder }))
  const upload = async (files: Record<string, string>): Promise<[number, any]> => {
    const response = await fetch(`${url}/scans`, { method: 'POST', body: form(files) })
    return [response.status, await response.json()]
  }
  const files = async (): Promise<number> => (await readdir(folder)).length
  t.match(await upload({ 'a.png': 'a', 'b.png': 'bb' }), [200, [{ id: 1, name: 'a.png', bytes: 1 }, { id: 2, bytes: 2 }]])
  t.equal(await files(), 2)
  t.match(await upload({ 'c.png': 'c', 'a.png': 'again' }), [409, { message: 'Conflict' }])
  t.match(await upload({ 'c.png': 'c', 'd.png': 'd'.repeat(1_000_001) }), [413, {}])
  t.strictSame((await query('select name from scan order by id')).map(({ name }) => name), ['a.png', 'b.png'])
  t.equal(await files(), 2, 'when the reply is there')
}, entities)

onEachShelf('a client that leaves during an upload leaves nothing behind', async (t, { open, query, sent }) => {
  const folder = await emptyFolder(t)
  const app = buildApp({ orm: open, folder })
  const { url } = await clientOf(t, app)
  const head = (name: string): string => `--x\r\nContent-Disposition: form-data; name="scan"; filename="${name}"\r\n\r\n`
  sent.length = 0
  const sending = request(`${url}/scans`, { method: 'POST', headers: { 'content-type': 'multipart/form-data; boundary=x' } })
  sending.on('error', () => {})
  sending.write(`${head('a.png')}a\r\n${head('b.png')}`)
  sending.write('b'.repeat(100_000))
  await until(async () => (await readdir(folder)).length === 2)
  t.strictSame(sent, [], 'nothing is asked of the database while the upload lasts')
  const closed = new Promise(resolve => sending.on('close', resolve))
  sending.destroy()
  await closed
  await app.close()
  await until(async () => (await readdir(folder)).length === 0)
  t.strictSame(await query('select * from scan'), [])
}, entities)
