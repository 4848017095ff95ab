import t from 'tap'
import { PositionTokens } from '../../lib/databases/position-tokens.ts'

const POSITIONS = new Map([['default', '77b4a840.1.16b374d848'], ['a ~ name', '0-1-5'], ['unknown', '?']])
const SETTINGS = { readYourWrites: 'cookie', secrets: ['secret'], wait: 10, maxAge: 1000 } as const

t.test('a token has the position of each database, and needs no quotes in a cookie', async t => {
  const tokens = new PositionTokens(SETTINGS)
  const token = tokens.make(POSITIONS)!
  t.match(token, /^[\w.~%?-]+$/)
  t.ok(token.length < 120, `${token.length} characters`)
  t.strictSame(tokens.read(token), POSITIONS)
})

t.test('one that is forged, changed, cut, too long, too old or of another secret is none', async t => {
  const tokens = new PositionTokens(SETTINGS)
  const token = tokens.make(POSITIONS)!
  for (const wrong of ['', 'x', '~', token.slice(1), token.slice(0, -1), `${token}~`, token.replace('77', '78'), token.replace(/.$/, last => last === 'A' ? 'B' : 'A'), 'x'.repeat(5000)]) {
    t.equal(tokens.read(wrong), undefined, wrong.slice(0, 100))
  }
  t.equal(new PositionTokens({ ...SETTINGS, secrets: ['other'] }).read(token), undefined)
  t.equal(new PositionTokens({ ...SETTINGS, maxAge: -1 }).read(token), undefined)
  t.equal(tokens.wait, 10)
  t.equal(new PositionTokens().read('x~100%~77~'), undefined, 'without a signature, too')
})

t.test('secrets change one after the other: the first signs, and each of them is good', async t => {
  const token = new PositionTokens(SETTINGS).make(POSITIONS)!
  const both = new PositionTokens({ ...SETTINGS, secrets: ['new', 'secret'] })
  t.strictSame(both.read(token), POSITIONS)
  t.equal(new PositionTokens(SETTINGS).read(both.make(POSITIONS)!), undefined)
})

t.test('a process without settings makes none, and believes what its app passes on', async t => {
  const tokens = new PositionTokens()
  t.equal(tokens.make(POSITIONS), undefined)
  t.strictSame(tokens.read(new PositionTokens(SETTINGS).make(POSITIONS)!), POSITIONS)
  t.equal(tokens.wait, 50)
})
