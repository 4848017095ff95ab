import type { FastifyInstance } from 'fastify'
import { em } from '../../../index.ts'
import { Author, Book } from '../../support/entities.ts'

interface Surroundings {
  /** An address that answers slowly. */
  payments: string
  /** What reports wait for. */
  audited: () => Promise<void>
}

/** Routes with the faults that people make, and one without. */
export function faultyShop (app: FastifyInstance, { payments, audited }: Surroundings): void {
  app.get('/books', async () => await em().find(Book, {}, { limit: 10 }))

  // a transaction is held around a slow call
  app.post('/orders', async () => {
    await em().find(Book, { stock: { $gt: 0 } })
    await em().insert(Book, { title: `sold ${performance.now()}` }) // holds
    await (await fetch(`${payments}/charges?card=4242`)).text()
    await em().insert(Author, { name: `paid ${performance.now()}` })
    return 'ok'
  })

  // n+1
  app.get('/shelves', async () => {
    const titles: unknown[] = []
    for (let id = 1; id <= 12; id++) {
      titles.push(await em().findOne(Book, { id: -id })) // repeats
    }
    return titles
  })

  // what keeps the pool from others
  app.post('/reports/:year', async () => {
    await em().insert(Author, { name: `report ${Math.random()}` }) // starves
    await audited()
    return 'ok'
  })

  app.post('/books', async () => em().create(Book, { title: 'Emma' }))
}
