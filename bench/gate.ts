import type { EntityManager } from '@mikro-orm/core'
import type { FastifyInstance } from 'fastify'
import { Book, Loan } from './entities.ts'

const AN_HOUR_MS = 3_600_000

/** Routes that keep their context open, or alive, until somebody has looked at it. */
export class Gate {
  readonly #waiting: (() => void)[] = []
  #watched: WeakRef<object>[] = []

  /** Requests that are waiting. */
  get waiting (): number {
    return this.#waiting.length
  }

  /** Lets go on whoever is waiting. */
  open (): void {
    for (const goOn of this.#waiting.splice(0)) goOn()
  }

  /** How many requests and EntityManagers of timers are still in memory; they are not looked at again. */
  takeKept (): number {
    return this.#watched.splice(0).filter(reference => reference.deref() !== undefined).length
  }

  declareRoutes (app: FastifyInstance, em: (() => EntityManager) | undefined): void {
    app.get('/gate', async () => {
      await this.#wait()
      return { ok: true }
    })

    app.get('/timer', async request => {
      keepContextAlive()
      this.#watch(request)
      return { ok: true }
    })
    if (em === undefined) return

    app.get('/gate/loan', async () => {
      const book = await em().findOneOrFail(Book, { id: 1 })
      await this.#wait()
      em().create(Loan, { book: book.id, reader: 'Jane' })
      return { ok: true }
    })

    app.get('/timer/loan', async request => {
      keepContextAlive()
      const book = await em().findOneOrFail(Book, { id: 1 })
      em().create(Loan, { book: book.id, reader: 'Jane' })
      this.#watch(request, em(), book)
      return { ok: true }
    })
  }

  #wait (): Promise<void> {
    return new Promise(resolve => { this.#waiting.push(resolve) })
  }

  #watch (...objects: object[]): void {
    for (const object of objects) this.#watched.push(new WeakRef(object))
  }
}

/** A function of the module: a closure would keep its handler's variables by itself. */
function doNothing (): void {}

function keepContextAlive (): void {
  setTimeout(doNothing, AN_HOUR_MS).unref()
}
