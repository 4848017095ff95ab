import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import type { Browser, Page } from 'puppeteer-core'
import type { Test } from 'tap'

const NAMES = ['chromium', 'chromium-browser', 'google-chrome']

/** That of Debian, or what `CHROMIUM` names. */
export const chromium: string | undefined = [
  ...process.env.CHROMIUM === undefined ? [] : [process.env.CHROMIUM],
  ...(process.env.PATH ?? '').split(delimiter).flatMap(folder => NAMES.map(name => join(folder, name)))
].find(isExecutable)

/** Why tests in a browser are skipped. */
export const withoutChromium: string | false = chromium === undefined && 'there is no chromium'

export async function startBrowser (): Promise<Browser> {
  const { launch } = await import('puppeteer-core')
  return await launch({ executablePath: chromium!, args: ['--no-sandbox', '--disable-dev-shm-usage', '--hide-scrollbars'], protocolTimeout: 120_000 })
}

/** A page that is as wide as that, and what goes wrong in it. */
export async function openPage (browser: Browser, { width = 1280, height = 800, dark = false }: { width?: number, height?: number, dark?: boolean } = {}): Promise<{ page: Page, faults: string[] }> {
  const page = await browser.newPage()
  page.setDefaultTimeout(120_000) // beside other tests, a frame may take seconds
  const faults: string[] = []
  page.on('pageerror', error => { faults.push(String(error)) })
  page.on('console', message => { if (message.type() === 'error') faults.push(message.text()) })
  await page.setViewport({ width, height })
  await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: dark ? 'dark' : 'light' }])
  return { page, faults }
}

export async function withBrowser (t: Test): Promise<Browser> {
  const browser = await startBrowser()
  t.teardown(() => browser.close())
  return browser
}

function isExecutable (file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}
