export const SPACE = 0x20
export const DOUBLE_QUOTE = 0x22
export const HASH = 0x23
export const DOLLAR = 0x24
export const AMPERSAND = 0x26
export const SINGLE_QUOTE = 0x27
export const STAR = 0x2a
export const DASH = 0x2d
export const DOT = 0x2e
export const SLASH = 0x2f
export const SEMICOLON = 0x3b
export const OPENING_BRACKET = 0x5b
export const CLOSING_BRACKET = 0x5d
export const BACKTICK = 0x60

const NINE = 0x39
const ZERO = 0x30
const TAB = 0x09
const CARRIAGE_RETURN = 0x0d
const UNDERSCORE = 0x5f
const LETTER_A = 0x61
const LETTER_Z = 0x7a
const LOWER_CASE = 0x20

/** What SQL takes for white space, which is less than JavaScript does. */
export function isSpace (code: number): boolean {
  return code === SPACE || (code >= TAB && code <= CARRIAGE_RETURN)
}

export function isDigit (code: number): boolean {
  return code >= ZERO && code <= NINE
}

export function isWordStart (code: number): boolean {
  const lower = code | LOWER_CASE
  return (lower >= LETTER_A && lower <= LETTER_Z) || code === UNDERSCORE || code >= 0x80
}

export function isWordPart (code: number): boolean {
  return isWordStart(code) || isDigit(code) || code === DOLLAR
}
