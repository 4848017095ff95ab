import fc from 'fast-check'

/**
 * What a name can stand for: one of these texts, in which `<…>` is another name, and a space any white space. A number before the text makes
 * it likelier. The first one must lead to an end: it is taken when a statement has become deep.
 */
export type Rules = Record<string, string[]>

const DEEP = 7

/** Statements by chance, of which some are damaged. */
export function statementsOf ({ gap, nothing, hostile, ...rules }: Rules): fc.Arbitrary<string> {
  const { statement } = fc.letrec<Record<string, string>>(tie => {
    const gaps = fc.oneof(...gap!.map(weighed))
    const nothings = fc.oneof(...nothing!.map(weighed))
    const arbitraryOf = (part: string): fc.Arbitrary<string> => {
      if (part === ' ') return gaps
      if (part === '·') return nothings
      const name = /^<(\w+)>$/.exec(part)?.[1]
      if (name === undefined) return fc.constant(part)
      if (rules[name] === undefined) throw new Error(`No rule explains <${name}>`)
      return tie(name)
    }
    const filled = ({ weight, text }: Weighed): fc.WeightedArbitrary<string> => {
      const parts = text.split(/(<\w+>| |·)/).filter(part => part !== '')
      return { weight, arbitrary: fc.tuple(...parts.map(arbitraryOf)).map(texts => texts.join('')) }
    }
    return Object.fromEntries(Object.entries(rules).map(([name, texts]) => {
      return [name, fc.oneof({ depthSize: 'max', maxDepth: DEEP, depthIdentifier: 'statement' }, ...texts.map(text => filled(weighed(text))))]
    }))
  })
  return fc.oneof({ weight: 3, arbitrary: statement! }, { weight: 1, arbitrary: fc.tuple(statement!, damage(hostile!)).map(([sql, damaged]) => damaged(sql)) })
}

interface Weighed extends fc.WeightedArbitrary<string> {
  text: string
}

function weighed (alternative: string): Weighed {
  const [, weight, text] = /^(?:(\d+): )?(.*)$/s.exec(alternative)!
  return { weight: Number(weight ?? 1), text: text!, arbitrary: fc.constant(text!) }
}

/** Puts something in the way of whoever reads a statement, or takes something out. */
function damage (hostile: string[]): fc.Arbitrary<(sql: string) => string> {
  return fc.tuple(fc.noBias(fc.integer({ min: 0, max: 999 })), fc.nat(3), fc.constantFrom('', ...hostile)).map(([at, taken, put]) => sql => {
    const place = Math.floor(at * sql.length / 1000)
    return sql.slice(0, place) + put + sql.slice(place + taken)
  })
}
