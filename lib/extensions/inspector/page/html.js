import htm from './htm.js'
import { h } from './preact.js'

/** Templates instead of a build step. */
export const html = htm.bind(h)
