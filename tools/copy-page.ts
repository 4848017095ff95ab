/** After `tsc`: what the browser loads is published as it is. */
import { cpSync } from 'node:fs'

const PAGE = 'lib/extensions/inspector/page'
cpSync(new URL(`../${PAGE}/`, import.meta.url), new URL(`../dist/${PAGE}/`, import.meta.url), { recursive: true })
