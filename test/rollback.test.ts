import { em } from '../index.ts'
import { Book, onEachDatabase } from './support/databases.ts'
import { startServer } from './support/server.ts'

onEachDatabase('a reply with an error status writes nothing', async (t, { orm, titles }) => {
  const { post } = await startServer(t, { orm }, app => {
    app.post('/', async (_request, reply) => {
      em().create(Book, { title: 'Emma' })
      await em().flush()
      return reply.code(409).send({ message: 'no' })
    })
  })
  t.equal((await post('/')).status, 409)
  t.strictSame(await titles(), [])
})
