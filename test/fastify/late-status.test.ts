import { beforeCommit, em } from '../../index.ts'
import { Book, onEachDatabase } from '../support/databases.ts'
import { startServer } from '../support/server.ts'

onEachDatabase('a status that a handler sets while its reply is committed comes too late: the client is told what is so', async (t, { orm, titles }) => {
  const { post } = await startServer(t, { orm }, app => {
    app.post('/', async (_request, reply) => {
      em().create(Book, { title: 'kept' })
      const committing = Promise.withResolvers<void>()
      beforeCommit(committing.resolve)
      reply.send({ ok: true })
      await committing.promise
      reply.code(422)
    })
  })
  const response = await post('/')
  t.equal(response.status, 200)
  t.strictSame(await response.json(), { ok: true })
  t.strictSame(await titles(), ['kept'])
})
