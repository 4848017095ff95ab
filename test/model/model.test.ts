import t from 'tap'
import { FAULTS, type Fault } from './faults.ts'
import { PLANS } from './plans.ts'
import { search } from './search.ts'

for (const plan of PLANS) {
  t.test(`every way on which contexts can end, the table's and what surrounds it: ${plan.name}`, async t => {
    const { states, steps, violation } = search({ plan, faults: new Set() })
    t.comment(`${states} states, ${steps} steps`)
    t.equal(violation, undefined)
    t.ok(states >= plan.leastStates, `${states} states`)
  })
}

t.test('a fault in the model is found by the invariant that it breaks', async t => {
  for (const [name, faults] of Object.entries(FAULTS)) {
    const plan = PLANS.find(plan => plan.name === name)!
    for (const [fault, invariant] of Object.entries(faults)) {
      // one mishap is enough to find any of them
      const { violation } = search({ plan: { ...plan, mishaps: Math.min(plan.mishaps, 1) }, faults: new Set([fault as Fault]) }, invariant)
      t.ok(violation, `${fault}: ${invariant}`)
    }
  }
})
