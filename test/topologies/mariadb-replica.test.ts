import { MikroORM } from '@mikro-orm/mariadb'
import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import { startMariadbReplica, withoutMariadbReplica, type MariadbReplica } from '../support/mariadb-replica.ts'
import { Note, startReplicaApp, type AppOptions } from '../support/replicas/app.ts'
import { describe, PAIRS, startProcess, writeThenRead } from '../support/replicas/pairs.ts'

let servers: MariadbReplica

const TOKENS: AppOptions['tokens'] = { readYourWrites: 'cookie', secret: 'of the test', wait: 100 }
const MAX_LAG = 200

function optionsFor (tokens?: AppOptions['tokens']): AppOptions {
  return { engine: 'mariadb', primary: servers.primary.url, replicas: [servers.replica.url], tokens }
}

async function untilReplicated (): Promise<void> {
  const [{ gtid }] = await servers.primary.query('select @@gtid_binlog_pos as gtid')
  await servers.replica.query(`select master_gtid_wait('${gtid}')`)
}

/** What the primary sends waits now and then, for as long as chance says. */
async function withRandomLag (run: () => Promise<void>): Promise<void> {
  const stopped = new AbortController()
  const changing = (async () => {
    while (!stopped.signal.aborted) {
      await servers.replica.pause()
      await setTimeout(Math.random() * MAX_LAG)
      await servers.replica.resume()
      await setTimeout(Math.random() * MAX_LAG)
    }
  })()
  try {
    await run()
  } finally {
    stopped.abort()
    await changing
  }
}

t.test('a MariaDB with a replica that follows its GTIDs: with tokens, no read is stale', { skip: withoutMariadbReplica }, async t => {
  t.before(async () => {
    servers = await startMariadbReplica()
    const orm = await MikroORM.init({ entities: [Note], clientUrl: servers.primary.url })
    await orm.schema.refresh()
    await orm.close()
  })
  t.teardown(() => servers?.stop())
  await t.test('one that stops answering is left out, and its reads go to the primary', async t => {
    const { app, served, warnings, close } = await startReplicaApp(optionsFor())
    t.teardown(close)
    const read = async (): Promise<number> => (await fetch(`${app.listeningOrigin}/nothing`)).status
    t.equal(await read(), 200)
    t.equal(served.read, 1)
    servers.replica.freeze()
    t.teardown(() => servers.replica.thaw())
    t.strictSame(await Promise.all([read(), read(), read()]), [200, 200, 200])
    t.match(warnings, [/the replica "replica1" is left out for some seconds/])
    t.equal(await read(), 200)
    t.ok(served.write >= 4)
    servers.replica.thaw()
  })

  await t.test('over two processes', async t => {
    const [one, other, plain, plainOther] = await Promise.all([TOKENS, TOKENS, undefined, undefined].map(tokens => startProcess(t, optionsFor(tokens)))) as [string, string, string, string]
    await untilReplicated()
    await servers.replica.pause()
    const without = await writeThenRead(plain, plainOther, 'without', PAIRS / 10)
    await servers.replica.resume()
    t.comment(describe('without tokens', without))
    t.ok(without.stale > PAIRS / 20, 'without tokens, most are, of a replica that is behind')
    await withRandomLag(async () => {
      const pairs = await writeThenRead(one, other, 'with', PAIRS)
      t.comment(describe('with tokens', pairs))
      t.equal(pairs.stale, 0)
      t.equal(pairs.failed, 0)
      t.ok(pairs.served.read > 0, 'the replica has its share')
    })
  })
})
