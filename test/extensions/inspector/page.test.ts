import autocannon from 'autocannon'
import { readFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import type { Page } from 'puppeteer-core'
import type { Test } from 'tap'
import { openPage, withBrowser, withoutChromium } from '../../support/browser.ts'
import { onPostgres, onSqlite, type Orm } from '../../support/databases.ts'
import { faultyShop } from './faulty-shop.ts'
import { startInspected, type InspectedServer } from './inspected-server.ts'
import { startOther } from './other-server.ts'

const shop = readFileSync(new URL('faulty-shop.ts', import.meta.url), 'utf8').split('\n')

/** The line with that comment, as the page shows it. */
function lineWith (comment: string): string {
  return `faulty-shop.ts:${shop.findIndex(line => line.endsWith(`// ${comment}`)) + 1}:`
}

async function startShop (t: Test, orm: Orm, audited = async (): Promise<void> => {}): Promise<InspectedServer & { url: string }> {
  const payments = await startOther(400)
  t.teardown(payments.close)
  const server = await startInspected(t, orm, app => faultyShop(app, { payments: payments.url, audited }))
  return { ...server, url: `http://127.0.0.1:${(server.app.server.address() as AddressInfo).port}` }
}

async function textOf (page: Page, selector: string): Promise<string> {
  return await page.evaluate(`document.querySelector(${JSON.stringify(selector)})?.innerText ?? ''`) as string
}

async function untilShown (page: Page, selector: string, text: string): Promise<void> {
  await page.waitForFunction(`(document.querySelector(${JSON.stringify(selector)})?.innerText ?? '').includes(${JSON.stringify(text)})`)
}

onPostgres('faults that are set from outside: the page names the line of each', async (t, { orm }) => {
  const { promise, resolve } = Promise.withResolvers<void>()
  const { url, get, post } = await startShop(t, orm, () => promise)
  const { page, faults } = await openPage(await withBrowser(t))
  const elsewhere: string[] = []
  page.on('request', request => { if (!request.url().startsWith(`${url}/_orm`)) elsewhere.push(request.url()) })
  await page.goto(`${url}/_orm`)
  await untilShown(page, 'main', 'No context has used a database yet')

  await (await post('/orders')).text()
  await untilShown(page, 'tbody', 'A transaction held a connection during GET')
  t.match(await textOf(page, 'tbody'), lineWith('holds'))
  await (await get('/shelves')).text()
  await untilShown(page, 'tbody', '12 times: select')
  t.match(await textOf(page, 'tbody'), lineWith('repeats'))

  const reports = Array.from({ length: 5 }, (_, i) => post(`/reports/${i}`))
  await untilShown(page, '.pools', '5 of 5 taken')
  const waiting = get('/books')
  await untilShown(page, '.starved', '1 waiting')
  t.match(await textOf(page, '.starved'), lineWith('starves'))
  await untilShown(page, 'tbody', 'It waits for a connection')
  resolve()
  await Promise.all([...reports, waiting].map(async response => await (await response).text()))
  await untilShown(page, 'tbody', 'A statement waited')
  t.match(await page.evaluate("[...document.querySelectorAll('.problem.waited')].map(({ innerText }) => innerText).join()"), lineWith('starves'))
  await untilShown(page, '.pools', '0 of 5 taken')

  await (await post('/books')).text()
  await (await post('/books')).text()
  await untilShown(page, '.outcome.rolled-back', 'rolled back')
  t.strictSame({ faults, elsewhere }, { faults: [], elsewhere: [] })
}, { skip: withoutChromium })

onPostgres('one context is a waterfall, which keys lead to and away from', async (t, { orm }) => {
  const { url, get, post } = await startShop(t, orm)
  await (await get('/books')).text()
  const response = await post('/orders')
  await response.text()
  const { page, faults } = await openPage(await withBrowser(t))
  await page.goto(`${url}/_orm`)
  await untilShown(page, 'tbody', 'POST /orders')
  await page.keyboard.press('j')
  await untilShown(page, '.detail', 'forced by insert into')
  t.equal(new URL(page.url()).pathname, response.headers.get('x-orm-context'))
  t.strictSame(await page.evaluate("[...document.querySelectorAll('.waterfall .kind')].map(({ innerText }) => innerText)"), [
    'request', 'read', 'BEGIN', 'write', 'call', 'write', 'COMMIT', 'first byte', 'closed'
  ])
  t.match(await textOf(page, '.waterfall .BEGIN'), lineWith('holds'))
  t.match(await textOf(page, '.waterfall .call'), 'while a transaction held a connection')
  t.notMatch(await textOf(page, 'body'), '4242', 'no values')

  await page.keyboard.press('j')
  await untilShown(page, '.detail h2', 'GET /books')
  await page.keyboard.press('k')
  await untilShown(page, '.detail h2', 'POST /orders')
  await page.goBack()
  await untilShown(page, '.detail h2', 'GET /books')
  await page.keyboard.press('Escape')
  await page.waitForSelector('.detail', { hidden: true })

  await page.keyboard.press('/')
  await page.keyboard.type('orders')
  await page.waitForFunction("document.querySelectorAll('tbody tr').length === 1")
  await page.keyboard.press('Escape')
  await page.keyboard.press('p')
  await untilShown(page, '[role=status]', 'paused')
  await (await post('/orders')).text()
  await untilShown(page, '[role=status]', 'paused, 1 changed')
  t.equal(await page.evaluate("document.querySelectorAll('tbody tr').length"), 1)
  await page.keyboard.press('p')
  await page.waitForFunction("document.querySelectorAll('tbody tr').length === 2")

  await page.goto(url + response.headers.get('x-orm-context')!)
  await untilShown(page, '.detail h2', 'POST /orders')
  await page.goto(`${url}/_orm/contexts/999999`)
  await untilShown(page, '.detail', 'knows nothing of the context 999999')
  t.strictSame(faults.filter(fault => !fault.includes('404')), [])
}, { skip: withoutChromium })

onPostgres('it fits into 400 pixels, and is dark where that is wanted', async (t, { orm }) => {
  const { url, get, post } = await startShop(t, orm)
  await (await get('/shelves')).text()
  const response = await post('/orders')
  await response.text()
  const browser = await withBrowser(t)
  const grounds = new Set<unknown>()
  for (const dark of [false, true]) {
    const { page } = await openPage(browser, { width: 400, dark })
    for (const [path, selector] of [['/_orm', 'tbody'], [response.headers.get('x-orm-context')!, '.waterfall']] as const) {
      await page.goto(url + path)
      await page.waitForSelector(selector)
      t.ok(await page.evaluate('document.documentElement.scrollWidth') as number <= 400, `${path} is no wider`)
    }
    grounds.add(await page.evaluate('getComputedStyle(document.body).backgroundColor'))
  }
  t.equal(grounds.size, 2)
}, { skip: withoutChromium })

onSqlite('a page stays usable while 500 requests come in a second', async (t, { orm }) => {
  const { url, post } = await startShop(t, orm)
  const { page, faults } = await openPage(await withBrowser(t))
  await page.goto(`${url}/_orm`)
  await page.evaluate(`
    window.counted = { events: 0, frames: 0 }
    new EventSource('live').onmessage = () => { counted.events++ }
    requestAnimationFrame(function count () { counted.frames++; requestAnimationFrame(count) })`)
  const begun = performance.now()
  const load = autocannon({ url: `${url}/books`, connections: 10, overallRate: 500, amount: 3000 }) // six seconds, or as many as a busy machine takes
  await page.waitForFunction("document.querySelectorAll('tbody tr').length >= 200", { polling: 250, timeout: 240_000 }) // not at each frame, which is what is busy
  await (await post('/orders')).text()

  const started = performance.now()
  await page.keyboard.press('/')
  await page.keyboard.type('orders')
  await page.waitForFunction("document.querySelectorAll('tbody tr').length === 1")
  await page.keyboard.press('Escape')
  await page.keyboard.press('j')
  await untilShown(page, '.detail', 'forced by insert into')
  const took = performance.now() - started
  const { requests } = await load
  const { events, frames } = await page.evaluate('counted') as { events: number, frames: number }
  t.comment(`${requests.average} requests a second, ${took.toFixed()} ms for five things to do, ${events} events, ${frames} frames`)
  t.ok(took < 20_000, `${took} ms`) // a second where nothing else runs, and several beside other tests
  const seconds = (performance.now() - begun) / 1000
  t.ok(events <= 4 * seconds + 5, `${events} events in ${seconds} s`)
  t.ok(frames > 30, `${frames} frames`)
  t.ok(await page.evaluate('document.querySelectorAll("tbody tr").length') as number <= 200)
  t.strictSame(faults, [])
}, { skip: withoutChromium })
