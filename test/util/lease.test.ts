import t from 'tap'
import { lease } from '../../lib/util/lease.ts'

t.test('a resource stays lent until it is released, once', async t => {
  const events: string[] = []
  const held = await lease<string>(async use => {
    try {
      await use('resource')
    } finally {
      events.push('returned')
    }
  })
  t.equal(held.resource, 'resource')
  t.strictSame(events, [])
  await Promise.all([held.release(), held.release()])
  t.strictSame(events, ['returned'])
})

t.test('what cannot be lent is an error of lease(), what cannot be returned one of release()', async t => {
  await t.rejects(lease(async () => { throw new Error('none left') }), { message: 'none left' })
  const held = await lease<string>(async use => {
    await use('resource')
    throw new Error('broken')
  })
  await t.rejects(held.release(), { message: 'broken' })
})
