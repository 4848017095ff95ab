/** What requests may contain and what replies look like, as JSON Schema. */

/** The largest integer of the databases. */
const MAX_INTEGER = 2_147_483_647

/** Neither blank nor with control characters, of which PostgreSQL refuses one. */
const text = { type: 'string', maxLength: 200, pattern: '^(?=.*\\S)\\P{Cc}+$' }
const count = { type: 'integer', minimum: 0, maximum: MAX_INTEGER }
const id = { type: 'integer', minimum: 1, maximum: MAX_INTEGER }

export const author = {
  type: 'object',
  required: ['id', 'name'],
  properties: { id, name: { type: 'string' } }
}

export const book = {
  type: 'object',
  required: ['id', 'title', 'stock', 'author'],
  properties: { id, title: { type: 'string' }, stock: { type: 'integer' }, author }
}

export const newAuthor = {
  type: 'object',
  required: ['name'],
  properties: { name: text }
}

export const newBook = {
  type: 'object',
  required: ['title', 'author'],
  properties: { title: text, author: text, stock: { ...count, default: 0 } }
}

export const newTitle = {
  type: 'object',
  required: ['title'],
  properties: { title: text }
}

export const byId = {
  type: 'object',
  required: ['id'],
  properties: { id }
}

const paging = {
  limit: { type: 'integer', minimum: 1, maximum: 100, default: 20 },
  offset: { ...count, default: 0 }
}

export const page = { type: 'object', properties: paging }
export const bookSearch = { type: 'object', properties: { title: text, author: text, ...paging } }

/** A page of a list, and how many there are on all its pages. */
export function pageOf (items: object): object {
  return {
    type: 'object',
    required: ['total', 'items'],
    properties: { total: { type: 'integer' }, items: { type: 'array', items } }
  }
}

/** What a client is told of an error, whichever it is. */
export const failure = {
  type: 'object',
  required: ['statusCode', 'error', 'message'],
  properties: {
    statusCode: { type: 'integer' },
    code: { type: 'string' },
    error: { type: 'string' },
    message: { type: 'string' }
  }
}

/** The replies of a route: its own, and errors. */
export function replies (status: 200 | 201, body: object): object {
  return { [status]: body, '4xx': failure, '5xx': failure }
}
