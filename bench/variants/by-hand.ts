import { setTimeout as sleep } from 'node:timers/promises'
import { nextId, SOMETHING_ELSE_MS } from '../app.ts'
import { poolOf } from '../open-orm.ts'
import { sqlPools } from './sql-pools.ts'
import type { Variant } from './variant.ts'

const SELECT = 'select id, title, stock from book'
const INSERT = 'insert into loan (book, reader) values ($1, $2)'

/** The driver's own pool, with SQL by hand, and rows as they come: what no ORM can beat. A single insert needs no transaction. */
export const byHand: Variant = async (app, orm, engine) => {
  const pool = sqlPools[engine](await poolOf(orm))

  app.get('/book', async () => (await pool.send(`${SELECT} where id = $1`, [nextId()]))[0])

  app.get('/books', () => pool.send(`${SELECT} order by id limit 50`))

  app.post('/loan', async (_request, reply) => {
    await pool.send(INSERT, [nextId(), 'Jane'])
    reply.code(201)
    return { ok: true }
  })

  app.post('/wait', async (_request, reply) => {
    const id = nextId()
    await pool.send(`${SELECT} where id = $1`, [id])
    await sleep(SOMETHING_ELSE_MS)
    await pool.send(INSERT, [id, 'Jane'])
    reply.code(201)
    return { ok: true }
  })

  app.post('/conflict', async (_request, reply) => {
    const connection = await pool.connect()
    try {
      await connection.send('begin')
      await connection.send(INSERT, [nextId(), 'Jane'])
      await connection.send('rollback')
    } finally {
      connection.release()
    }
    reply.code(409)
    return { message: 'Somebody has it already' }
  })
  return undefined
}
