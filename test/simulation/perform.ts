import type { SqlEntityManager } from '@mikro-orm/sqlite'
import { em, runInContext } from '../../index.ts'
import { Book } from './entities.ts'
import type { Player } from './player.ts'
import type { Deed } from './script.ts'

/** What the handler of that request does next. */
export async function perform (player: Player, deed: Deed): Promise<void> {
  if (typeof deed === 'object') {
    const results = await Promise.allSettled(deed.both.map(deed => perform(player, deed)))
    for (const result of results) if (result.status === 'rejected') throw result.reason
    return
  }
  switch (deed) {
    case 'write': return await noteFailure(player, write(player, player.written))
    case 'persist': return persist(player)
    case 'flush': return await noteFailure(player, em().flush())
    case 'branch': return await branch(player)
    case 'transactional': return await inSavepoint(player)
    case 'transactional that fails': return await inFailingSavepoint(player)
    default: {
      const { written } = player
      player.written = []
      player.hasFailed = false
      let isKept: true | undefined
      try {
        await em()[deed]()
        isKept = true
        if (deed === 'rollback') player.takenBack.push(...written)
      } finally {
        if (deed === 'commit') for (const title of written) player.branches.set(title, isKept) // of one that fails, it may be in doubt
      }
    }
  }
}

async function noteFailure (player: Player, work: Promise<void>): Promise<void> {
  await work.catch(error => {
    player.hasFailed ||= /The statement fails/.test(error.message)
    throw error
  })
}

function persist (player: Player): void {
  const title = `${player.id}-${++player.rows}`
  em().persist(em().create(Book, { id: player.rows, title }))
  if (!player.isAnswered) player.written.push(title) // what comes later is lost, as nothing is sent that could be refused: see the guards
}

async function inSavepoint (player: Player): Promise<void> {
  const written: string[] = []
  try {
    await em().transactional(() => write(player, written))
  } catch (error) {
    player.takenBack.push(...written)
    throw error
  }
  player.written.push(...written)
}

async function inFailingSavepoint (player: Player): Promise<void> {
  const failure = new Error('by the work of a savepoint')
  try {
    await em().transactional(async () => {
      await write(player, player.takenBack)
      throw failure
    })
  } catch (error) {
    if (error !== failure) throw error
  }
}

async function branch (player: Player): Promise<void> {
  const written: string[] = []
  try {
    await runInContext(() => write(player, written))
    for (const title of written) player.branches.set(title, true)
  } catch (error) {
    for (const title of written) player.branches.set(title, undefined) // perhaps in doubt
    throw error
  }
}

async function write (player: Player, written: string[]): Promise<void> {
  const title = `${player.id}-${++player.rows}`
  await (em() as unknown as SqlEntityManager).execute(`insert into book (title) values ('${title}')`)
  written.push(title)
}
