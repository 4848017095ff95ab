import { defineEntity, p, Type, wrap, type EventSubscriber } from '@mikro-orm/core'
import { SqlEntityManager } from '@mikro-orm/sqlite'
import { em, runInContext } from '../../index.ts'
import { hasPendingChanges } from '../../lib/mikro-orm/pending-changes.ts'
import { Author, Book, onSqlite, type Orm } from '../support/databases.ts'
import { MIXED_VERSIONS } from '../support/mixed-versions.ts'
import { startServer } from '../support/server.ts'

// What is not seen here would be lost. So what MikroORM's own flush writes is the measure, for many changes by chance to
// a graph of every kind of property and relation.

let updates = 0

const Address = defineEntity({
  name: 'Address',
  embeddable: true,
  properties: { city: p.string(), country: () => p.manyToOne(Country).nullable() }
})

const Country = defineEntity({
  name: 'Country',
  properties: { id: p.integer().primary(), code: p.string().unique() }
})

const Person = defineEntity({
  name: 'Person',
  discriminatorColumn: 'kind',
  discriminatorValue: 'person',
  properties: {
    id: p.integer().primary(),
    name: p.string(),
    notes: p.json<{ tags: string[] }>(),
    home: () => p.embedded(Address).nullable(),
    born: p.datetime().nullable(),
    changedAt: p.integer().onCreate(() => 0).onUpdate(() => ++updates),
    passport: () => p.oneToOne(Passport).mappedBy('holder').nullable(),
    books: () => p.oneToMany(Novel).mappedBy('author').orphanRemoval(),
    clubs: () => p.manyToMany(Club)
  }
})

const Reader = defineEntity({
  name: 'Reader',
  extends: Person,
  discriminatorValue: 'reader',
  properties: { card: p.string().nullable() }
})

const Passport = defineEntity({
  name: 'Passport',
  properties: { id: p.integer().primary(), number: p.string(), holder: () => p.oneToOne(Person).ref().nullable() }
})

const Novel = defineEntity({
  name: 'Novel',
  properties: { id: p.integer().primary(), title: p.string(), author: () => p.manyToOne(Person).ref().nullable(), editorId: () => p.manyToOne(Person).mapToPk().nullable() }
})

const Club = defineEntity({
  name: 'Club',
  properties: { id: p.integer().primary(), name: p.string(), members: () => p.manyToMany(Person).mappedBy('clubs') }
})

const ENTITIES = [Address, Country, Person, Reader, Passport, Novel, Club]

type Graph = { em: any, people: any[], novels: any[], clubs: any[], passports: any[], countries: any[], foreign: any }

const CHANGES: Record<string, (graph: Graph, pick: <T>(of: T[]) => T) => void> = {
  'a scalar': ({ novels }, pick) => { pick(novels).title = pick(['Emma', 'Persuasion', 'Novel 1']) },
  'JSON in place': ({ people }, pick) => { pick(people).notes.tags.push('new') },
  'a date in place': ({ people }, pick) => { pick(people).born?.setFullYear(1800) },
  'a unique value': ({ countries }) => { countries[0].code = 'XX' },
  'unique values that are swapped': ({ countries }) => { [countries[0].code, countries[1].code] = [countries[1].code, countries[0].code] },
  'an embedded value': ({ people }, pick) => { pick(people).home.city = 'Bath' },
  'an embedded object that is gone': ({ people }, pick) => { pick(people).home = null },
  'a relation in an embedded object': ({ people, countries }, pick) => { pick(people).home.country = pick(countries) },
  'a new entity in an embedded object': ({ em, people }, pick) => { pick(people).home.country = em.create(Country, { code: 'NZ' }, { persist: false }) },
  'to one': ({ novels, people }, pick) => { pick(novels).author = wrap(pick(people)).toReference() },
  'to none': ({ novels }, pick) => { pick(novels).author = null },
  'to a new one': ({ em, novels }, pick) => { pick(novels).author = wrap(em.create(Person, { name: 'new', notes: { tags: [] } }, { persist: false })).toReference() },
  'a key': ({ novels }, pick) => { pick(novels).editorId = pick([1, 2, 3, null]) },
  'the inverse side of one to one': ({ em, people }, pick) => { pick(people).passport = em.create(Passport, { number: 'new' }, { persist: false }) },
  'the owning side of one to one': ({ passports, people }, pick) => { pick(passports).holder = wrap(pick(people)).toReference() },
  'an item that is added': ({ em, people }, pick) => { pick(people).books.add(em.create(Novel, { title: 'new' }, { persist: false })) },
  'an item that adds itself': ({ em, people }, pick) => { em.create(Novel, { title: 'new', author: pick(people) }, { persist: false }) },
  'an item of a collection that is said to be clean': ({ em, people }, pick) => {
    const { books } = pick(people)
    books.add(em.create(Novel, { title: 'new' }, { persist: false }))
    books.setDirty(false)
  },
  'an item that is moved': ({ novels, people }, pick) => { pick(people).books.add(pick(novels)) },
  'an item that is removed': ({ people }, pick) => {
    const { books } = pick(people)
    if (books.isInitialized() && books.length > 0) books.remove(books[0])
  },
  'many to many': ({ people, clubs }, pick) => { pick(people).clubs.add(pick(clubs)) },
  'many to many that are cleared': ({ people }, pick) => { pick(people).clubs.removeAll() },
  'many to many from the inverse side': ({ people, clubs }, pick) => {
    const club = pick(clubs)
    if (club.members.isInitialized()) club.members.add(pick(people))
  },
  'a new entity': ({ em }) => { em.create(Novel, { title: 'new' }) },
  'a new entity with a key': ({ em }) => { em.persist(em.create(Club, { id: 99, name: 'new' }, { persist: false })) },
  'an entity that is removed': ({ em, novels }, pick) => { em.remove(pick(novels)) },
  'an entity of another EntityManager': ({ em, foreign }) => {
    foreign.title = 'foreign'
    em.persist(foreign)
  },
  'an entity that is persisted again': ({ em, novels }, pick) => { em.persist(pick(novels)) },
  'a reference': ({ em }) => { em.getReference(Novel, 3) },
  'a change to a reference': ({ em }) => { em.getReference(Novel, 3).title = 'by reference' },
  assign: ({ novels }, pick) => { wrap(pick(novels)).assign({ title: pick(['assigned', 'Novel 2']) }) },
  'an array in place of a collection': ({ em, clubs }) => {
    clubs[0].members = [em.getReference(Person, 2)]
  }
}

/** Of which the first make each change by itself. TEST_ROUNDS and TEST_SEED try others. */
const ROUNDS = Number(process.env.TEST_ROUNDS ?? 400)

const POPULATED = [[], ['books'], ['clubs'], ['books', 'clubs', 'passport'], ['*']]

onSqlite('every change that a flush would write is seen, and without side effects', async (t, { another, sent }) => {
  const orm = await another({ entities: ENTITIES })
  await seed(orm)
  const random = mulberry32(Number(process.env.TEST_SEED ?? 7))
  const pick = <T>(of: T[]): T => of[Math.floor(random() * of.length)]!
  const written = new Set<string>()
  const names = Object.keys(CHANGES)
  let idle = 0
  const flush = async (em: any, changes: string[]): Promise<{ isSeen: boolean, isWritten: boolean, hasFailed: boolean }> => {
    const before = updates
    const isSeen = hasPendingChanges(em)
    if (updates !== before) t.fail(`onUpdate was called for ${changes.join(', ')}`)
    sent.length = 0
    const hasFailed = await em.flush().then(() => false, () => true)
    const isWritten = hasFailed || sent.some(sql => /^(?:insert|update|delete)/.test(sql))
    if (isWritten && !isSeen) t.fail(`not seen: ${changes.join(', ')}`)
    if (changes.length === 0 && isSeen) t.fail('seen where nothing was changed')
    return { isSeen, isWritten, hasFailed }
  }

  for (let round = 0; round < ROUNDS; round++) {
    const em = orm.em.fork()
    const foreign = await em.fork().findOneOrFail(Novel, { id: 3 })
    await em.begin()
    const graph = { ...await load(em, pick(POPULATED)), foreign }
    const changes = round < names.length ? [names[round]!] : Array.from({ length: Math.floor(random() * 3) }, () => pick(names))
    try {
      for (const change of changes) CHANGES[change]!(graph, pick)
    } catch {
      await em.rollback() // the second makes no sense after the first
      continue
    }
    const first = await flush(em, changes)
    if (first.isWritten && changes.length === 1) written.add(changes[0]!)
    if (!first.isSeen) idle++
    if (!first.hasFailed) await flush(em, [...changes, 'a flush'])
    await em.rollback()
  }
  t.ok(idle > ROUNDS / 4, `${idle} of them were idle`)
  t.strictSame(names.filter(name => !written.has(name)), ['a date in place', 'an entity that is persisted again', 'a reference'], 'MikroORM writes all others')
}, MIXED_VERSIONS)

onSqlite('a value that cannot be written fails the reply as it fails a flush', async (t, { another, taken }) => {
  class Amount extends Type<number, number> {
    override convertToDatabaseValue (value: number): number {
      if (value < 0) throw new Error('An amount is not negative')
      return value
    }
  }
  const Account = defineEntity({ name: 'Account', properties: { id: p.integer().primary(), amount: p.type(Amount) } })
  const orm = await another({ entities: [Account] })
  await orm.schema.refresh()
  await orm.em.fork().insert(Account, { id: 1, amount: 1 })
  const { get } = await startServer(t, { orm }, app => {
    app.get('/', async () => {
      const account = await em().findOneOrFail(Account, { id: 1 })
      account.amount = -1
      return { ok: true }
    })
  })
  const response = await get('/')
  t.equal(response.status, 500)
  t.match(await response.json(), { message: 'An amount is not negative' })
  t.equal(taken(), 0)
})

onSqlite('subscribers to each event of a flush hear of one that writes nothing', async (t, { another }) => {
  for (const event of ['beforeFlush', 'onFlush', 'afterFlush'] as const) {
    let heard = 0
    const subscriber: EventSubscriber = { [event]: () => { heard++ } }
    const orm = await another({ subscribers: [subscriber] })
    await runInContext({ orm }, async () => { await em().count(Book) })
    t.ok(heard > 0, event)
  }
})

onSqlite("an app's own EntityManager is asked to flush in every case", async (t, { another }) => {
  let flushes = 0
  class OwnEntityManager extends SqlEntityManager {
    override async flush (): Promise<void> {
      flushes++
      await super.flush()
    }
  }
  const orm = await another({ entityManager: OwnEntityManager })
  await runInContext({ orm }, async () => { await em().count(Author) })
  t.ok(flushes > 0)
})

async function seed (orm: Orm): Promise<void> {
  await orm.schema.refresh()
  const em: any = orm.em.fork()
  const countries = ['GB', 'FR', 'DE'].map(code => em.create(Country, { code }))
  for (let i = 1; i <= 4; i++) {
    const person = em.create(i % 2 === 0 ? Reader : Person, {
      name: `Person ${i}`, notes: { tags: ['old'] }, born: new Date(0), home: { city: 'London', country: countries[i % 3] }
    })
    em.create(Passport, { number: `${i}`, holder: i < 3 ? person : null })
    em.create(Novel, { title: `Novel ${i}`, author: person, editorId: i > 1 ? 1 : null })
    em.create(Novel, { title: `Other ${i}` })
    person.clubs.add(em.create(Club, { name: `Club ${i}` }))
  }
  await em.flush()
}

async function load (em: any, populate: string[]): Promise<Omit<Graph, 'foreign'>> {
  const people = await em.find(Person, {}, { populate, limit: 3, orderBy: { id: 1 } })
  for (const person of people) if (!person.clubs.isInitialized()) await person.clubs.init()
  return {
    em,
    people,
    novels: await em.find(Novel, { id: { $ne: 3 } }),
    clubs: await em.find(Club, {}, { populate: populate.length > 1 ? ['members'] : [] }),
    passports: await em.find(Passport, {}),
    countries: await em.find(Country, {})
  }
}

/** Random numbers that are the same in every run. */
function mulberry32 (seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6D2B79F5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}
