import t from 'tap'
import type { Driver } from '../../lib/drivers/driver.ts'
import type { Replica } from '../../lib/drivers/replicas/replica.ts'
import type { Replicas } from '../../lib/drivers/replicas/replicas.ts'
import { Freshness } from '../../lib/transaction/freshness.ts'

function freshnessThatRequires (position?: string): Freshness {
  return new Freshness({ replicaWait: 0, positionsToRead: () => new Map(position === undefined ? [] : [['default', position]]), onPosition () {} })
}

t.test('of two positions that have to be seen, nobody knows which one is further: it is where the primary is then', async t => {
  const freshness = new Freshness({ replicaWait: 0, positionsToRead: () => new Map([['default', 'a.1.5']]), onPosition () {} })
  freshness.require(new Map([['default', 'a.1.5'], ['audit', 'a.1.7']]))
  t.strictSame([...freshness.required], [['default', 'a.1.5'], ['audit', 'a.1.7']])
  freshness.require(new Map([['default', 'a.1.4']]))
  freshness.require()
  t.strictSame([...freshness.required], [['default', '?'], ['audit', 'a.1.7']])
})

t.test('what has to be seen besides, while a replica is waited for, is seen', async t => {
  const freshness = freshnessThatRequires('a.1.5')
  const near = { isFit: true } as Replica
  const far = { isFit: true } as Replica
  const reached = Promise.withResolvers<Replica>()
  const replicas = { presentPosition: async () => 'a.1.9', reached: (position: string) => position === 'a.1.5' ? reached.promise : far } as unknown as Replicas
  const database = freshness.of({} as Driver, 'default')
  const first = database.replicaIn(replicas)
  freshness.require(new Map([['default', 'a.1.7']]))
  const second = database.replicaIn(replicas)
  reached.resolve(near)
  t.equal(await second, far)
  t.equal(await first, far)
  t.equal(database.replicaIn(replicas), far)
})

t.test('a context whose replica has gone goes on with the primary, and stays there', async t => {
  const replica = { isFit: true }
  const replicas = { pick: () => replica, reached: () => replica } as unknown as Replicas
  for (const position of [undefined, 'a.1.5']) {
    const database = freshnessThatRequires(position).of({} as Driver, 'default')
    replica.isFit = true
    t.equal(await database.replicaIn(replicas), replica)
    replica.isFit = false
    t.equal(await database.replicaIn(replicas), undefined)
    replica.isFit = true
    t.equal(await database.replicaIn(replicas), undefined)
  }
})
