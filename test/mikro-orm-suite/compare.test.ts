import t from 'tap'
import { compare, type Explained, type Result, type Results } from './compare.ts'

const FILE = 'tests/issues/GH1.test.ts'

function results (states: Record<string, Result['state']>, statements = 0): Results {
  const tests = Object.entries(states).map(([name, state]) => [`${FILE}: ${name}`, { state, statements }] as const)
  return { tests: new Map(tests), notLoaded: new Map() }
}

function listed (...names: string[]): Explained[] {
  return [{ why: 'it counts statements', tests: { [FILE]: names } }]
}

t.test('what passes outside of a context and fails in one has to be in the list', async t => {
  const plain = results({ same: 'passed', known: 'passed', unknown: 'passed', lost: 'passed' })
  const inContext = results({ same: 'passed', known: 'failed', unknown: 'failed' }, 1)
  const { compared, explained, unexplained } = compare({ plain, inContext, committing: inContext, requestContext: plain }, listed('known'))
  t.equal(compared.length, 4)
  t.strictSame(explained, [`${FILE}: known`])
  t.strictSame(unexplained, [`${FILE}: unknown`, `${FILE}: lost`], 'also what is missing there')
})

t.test('what passes if each flush is committed is about when a context commits', async t => {
  const plain = results({ counts: 'passed', differs: 'passed' })
  const inContext = results({ counts: 'failed', differs: 'failed' })
  const committing = results({ counts: 'passed', differs: 'failed' })
  const { sooner, unexplained } = compare({ plain, inContext, committing, requestContext: plain }, [])
  t.strictSame(sooner, [`${FILE}: counts`])
  t.strictSame(unexplained, [`${FILE}: differs`])
})

t.test('what needs the EntityManager of another test, or fails by itself, tells nothing of a context', async t => {
  const plain = results({ shared: 'passed', broken: 'failed', skipped: 'skipped', good: 'passed' })
  const inContext = results({ shared: 'failed', broken: 'failed', good: 'passed' })
  const requestContext = results({ shared: 'failed', broken: 'passed', skipped: 'skipped', good: 'passed' })
  const { compared, needShared, failPlain, unexplained } = compare({ plain, inContext, committing: inContext, requestContext }, [])
  t.strictSame(compared, [`${FILE}: good`])
  t.strictSame(needShared, [`${FILE}: shared`])
  t.strictSame(failPlain, [`${FILE}: broken`, `${FILE}: skipped`])
  t.strictSame(unexplained, [])
})

t.test('an entry of the list that has become wrong is told', async t => {
  const plain = results({ right: 'passed', mended: 'passed', sooner: 'passed', broken: 'failed' })
  const inContext = results({ right: 'failed', mended: 'passed', sooner: 'failed', broken: 'failed' })
  const committing = results({ right: 'failed', sooner: 'passed' })
  const { outdated, absent } = compare({ plain, inContext, committing, requestContext: plain }, listed('right', 'mended', 'sooner', 'broken', 'gone'))
  t.strictSame(outdated, [`${FILE}: mended`, `${FILE}: sooner`])
  t.strictSame(absent, [`${FILE}: broken`, `${FILE}: gone`])
})

t.test('it is counted which tests have used a context', async t => {
  const plain = results({ one: 'passed', two: 'passed' })
  const used = (inContext: Results): number => compare({ plain, inContext, committing: plain, requestContext: plain }, []).used
  t.equal(used(results({ one: 'passed', two: 'passed' }, 3)), 2)
  t.equal(used(results({ one: 'passed', two: 'passed' }, 0)), 0)
  t.equal(used(results({ one: 'passed', two: 'failed' }, 3)), 1)
})
