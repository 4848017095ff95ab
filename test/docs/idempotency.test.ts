import t from 'tap'
import { writeSnippets } from '../support/docs.ts'

const { load } = await writeSnippets(t)

t.test('a payment that is sent twice happens once', async t => {
  const app = await (await load('payments.ts')).buildPayments()
  t.teardown(() => app.close())
  const pay = async (headers: object): Promise<any> => await app.inject({ method: 'POST', url: '/payments', headers, payload: { amount: 100 } })
  const [first, again] = [await pay({ 'idempotency-key': 'a', 'x-account': 'jane' }), await pay({ 'idempotency-key': 'a', 'x-account': 'jane' })]
  t.match(first, { statusCode: 201, payload: '{"id":1,"amount":100}' })
  t.match(again, { statusCode: 201, payload: first.payload, headers: { 'idempotency-replayed': 'true' } })
  t.match((await pay({ 'idempotency-key': 'a', 'x-account': 'fanny' })).json(), { id: 2 })
  t.equal((await pay({})).statusCode, 400)
})
