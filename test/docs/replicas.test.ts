import t from 'tap'
import { em, runInContext } from '../../index.ts'
import { writeSnippets } from '../support/docs.ts'
import { freshDatabase } from '../support/fresh-database.ts'
import { withoutPostgres } from '../support/without-servers.ts'

t.test('the app and the job of the page about replicas see what was written', { skip: withoutPostgres }, async t => {
  const { load } = await writeSnippets(t)
  const { url } = await freshDatabase()
  const { buildReplicated, Note } = await load('replicated.ts')
  const app = await buildReplicated(url, [url], 'of the test')
  t.teardown(() => app.close())
  await app.orm.schema.create()

  const { headers } = await app.inject({ method: 'POST', url: '/notes', payload: { text: 'Milk' } })
  const [cookie] = String(headers['set-cookie']).split(';')
  t.match(cookie, /^orm-position=\w+~default~[0-9a-f.]+~/)
  t.strictSame((await app.inject({ url: '/notes', headers: { cookie } })).json(), [{ id: 1, text: 'Milk' }])

  const { sendJob, work } = await load('jobs.ts')
  const jobs: Array<{ after?: string }> = []
  await runInContext({ orm: app.orm }, async () => {
    (em() as any).create(Note, { text: 'Eggs' })
    await sendJob(async (job: object) => { jobs.push(job) })
  })
  t.match(jobs, [{ after: /~default~[0-9a-f.]+~/ }])
  t.equal(await work(app.orm, jobs[0]), 2)
})
