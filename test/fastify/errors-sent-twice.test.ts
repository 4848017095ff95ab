import { em } from '../../index.ts'
import { Book, onEachDatabase } from '../support/databases.ts'
import { startServer } from '../support/server.ts'
import { watchStrayErrors } from '../support/stray-errors.ts'

onEachDatabase('a handler that goes on after it has sent an error cannot end the process while that is rolled back', async (t, { orm, titles }) => {
  const assertNoStrays = watchStrayErrors(t)
  const { post } = await startServer(t, { orm }, app => {
    app.post('/:how', async (request, reply) => {
      await em().insert(Book, { title: 'taken back' })
      reply.send(new Error('first'))
      const { how } = request.params as { how: string }
      if (how === 'throws') throw new Error('second')
      if (how === 'returns') return { ok: true }
      if (how === 'sends') reply.send({ ok: true })
      if (how === 'awaits') await em().flush()
    })
  })
  for (const how of ['ends', 'throws', 'returns', 'sends', 'awaits']) {
    const response = await post(`/${how}`)
    t.equal(response.status, 500, how)
    t.match(await response.json(), { message: 'first' }, how)
    await assertNoStrays()
  }
  t.strictSame(await titles(), [])
})
