import createError from '@fastify/error'

export const NOT_FOUND = createError<[string, number]>('BOOKSHOP_NOT_FOUND', 'There is no %s %d', 404)

export const SOLD_OUT = createError<[string]>('BOOKSHOP_SOLD_OUT', '"%s" is sold out', 409)

export const DUPLICATE = createError('BOOKSHOP_DUPLICATE', 'There is one of that name already', 409)
