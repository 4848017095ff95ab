import { defineEntity, p, type LogContext, type Logger, type LoggerOptions } from '@mikro-orm/core'
import { MikroORM as Mariadb } from '@mikro-orm/mariadb'
import { MikroORM as Postgres } from '@mikro-orm/postgresql'
import Fastify, { type FastifyInstance } from 'fastify'
import contextOrm, { em, type ContextOrmOptions } from '../../../index.ts'

export const Note = defineEntity({ name: 'Note', properties: { id: p.integer().primary(), text: p.string().unique() } })

export interface AppOptions {
  engine: 'postgresql' | 'mariadb'
  primary: string
  replicas: string[]
  pool?: number
  tokens?: ContextOrmOptions['replicas'] | undefined
}

/** How many reads each server has had, by what the log says. */
export type Served = Record<'read' | 'write', number>

export interface ReplicaApp {
  app: FastifyInstance
  served: Served
  warnings: string[]
  close (): Promise<void>
}

/** Writes notes, and says whether it sees one. */
export async function startReplicaApp ({ engine, primary, replicas, pool = 10, tokens }: AppOptions): Promise<ReplicaApp> {
  const served: Served = { read: 0, write: 0 }
  const warnings: string[] = []
  const { MikroORM } = { MikroORM: engine === 'postgresql' ? Postgres : Mariadb } as { MikroORM: typeof Postgres }
  const orm = await MikroORM.init({
    entities: [Note],
    clientUrl: primary,
    pool: { min: 0, max: pool },
    replicas: replicas.map((clientUrl, i) => ({ clientUrl, name: `replica${i + 1}` })),
    debug: ['query'],
    loggerFactory: options => new CountingLogger(options, served)
  })
  const app = Fastify({ logger: { level: 'warn', stream: { write: (line: string) => { warnings.push(JSON.parse(line).msg) } } } }) as FastifyInstance
  app.register(contextOrm, { orm, replicas: tokens })
  app.register(async app => {
    app.post('/:text', async request => em().create(Note, { text: textOf(request) }))
    app.get('/served', async () => served)
    app.get('/:text', async request => ({ seen: await em().count(Note, { text: textOf(request) }) }))
  })
  await app.listen({ host: '127.0.0.1', port: 0 })
  return {
    app,
    served,
    warnings,
    async close () {
      await app.close()
      await orm.close()
    }
  }
}

function textOf ({ params }: { params: unknown }): string {
  return (params as { text: string }).text
}

class CountingLogger implements Logger {
  readonly #served: Served

  constructor (_options: LoggerOptions, served: Served) {
    this.#served = served
  }

  logQuery ({ query, connection }: LogContext & { query: string }): void {
    if (query.startsWith('select')) this.#served[connection!.type as 'read' | 'write']++
  }

  isEnabled (): boolean {
    return true
  }

  log (): void {}
  error (): void {}
  warn (): void {}
  setDebugMode (): void {}
}

/** As a process of its own: it says where it listens, and ends when its input does. */
if (process.argv[1] === import.meta.filename) {
  const { app, close } = await startReplicaApp(JSON.parse(process.argv[2]!))
  process.stdout.write(`${app.listeningOrigin}\n`)
  process.stdin.resume().once('end', close)
}
