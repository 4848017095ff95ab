/**
 * `npm run pictures`: what `docs/inspector.md` shows, at two widths, in the light and in the dark. The app has the faults of the inspector's
 * tests, on a PostgreSQL of its own.
 */
import { MikroORM } from '@mikro-orm/postgresql'
import Fastify from 'fastify'
import { mkdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Page } from 'puppeteer-core'
import contextOrm from '../index.ts'
import inspector from '../inspector.ts'
import { faultyShop } from '../test/extensions/inspector/faulty-shop.ts'
import { startOther } from '../test/extensions/inspector/other-server.ts'
import { openPage, startBrowser } from '../test/support/browser.ts'
import { Author, Book } from '../test/support/entities.ts'
import { startPostgres } from '../test/support/postgres-server.ts'

const FOLDER = fileURLToPath(new URL('../docs/pictures/', import.meta.url))
const LOOKS = [
  { name: 'wide-light', width: 1280, height: 860, dark: false }, { name: 'wide-dark', width: 1280, height: 860, dark: true },
  { name: 'narrow-light', width: 400, height: 860, dark: false }, { name: 'narrow-dark', width: 400, height: 860, dark: true }
]

let audit = Promise.withResolvers<void>()

mkdirSync(FOLDER, { recursive: true })
const postgres = await startPostgres()
const payments = await startOther(350)
const orm = await MikroORM.init({ clientUrl: postgres.url, entities: [Author, Book], pool: { min: 0, max: 5 } })
await orm.schema.create()
const app = Fastify()
app.register(contextOrm, { orm })
app.register(async app => {
  app.register(inspector)
  faultyShop(app, { payments: payments.url, audited: () => audit.promise })
})
const url = await app.listen({ host: '127.0.0.1', port: 0 })
const browser = await startBrowser()
try {
  await fill()
  for (const look of LOOKS) await take(look)
} finally {
  await browser.close()
  await app.close()
  await orm.close()
  payments.close()
  await postgres.stop()
}

async function send (method: string, path: string): Promise<Response> {
  const response = await fetch(url + path, { method })
  await response.text()
  return response
}

async function fill (): Promise<void> {
  for (let i = 0; i < 4; i++) await send('GET', '/books')
  for (const path of ['/books', '/books', '/orders']) await send('POST', path)
  await send('GET', '/shelves')
}

/** The list while the pool is starved, and the waterfall of an order. */
async function take ({ name, ...look }: typeof LOOKS[number]): Promise<void> {
  const order = await send('POST', '/orders')
  for (let i = 0; i < 3; i++) await send('GET', '/books')
  const { page } = await openPage(browser, look)
  await page.goto(`${url}/_orm`)
  await page.waitForSelector('tbody tr')
  const reports = Array.from({ length: 5 }, (_, i) => send('POST', `/reports/${2020 + i}`))
  await page.waitForFunction("document.querySelector('.numbers')?.innerText.includes('5 of 5')")
  const starved = send('GET', '/books')
  await page.waitForSelector('.starved')
  await page.waitForFunction("document.querySelector('tbody').innerText.includes('It waits')")
  await shoot(page, `inspector-list-${name}`)
  audit.resolve()
  await Promise.all([...reports, starved])
  audit = Promise.withResolvers()
  await page.goto(url + order.headers.get('x-orm-context')!)
  await page.waitForSelector('.waterfall')
  await shoot(page, `inspector-context-${name}`)
  await page.close()
}

async function shoot (page: Page, name: string): Promise<void> {
  await page.screenshot({ path: `${FOLDER}${name}.png` })
  console.log(`docs/pictures/${name}.png`)
}
