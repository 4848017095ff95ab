import createError from '@fastify/error'

export const NOT_FOUND = createError<[string]>('SHOP_NOT_FOUND', 'There is no product "%s"', 404)

export const SOLD_OUT = createError<[string]>('SHOP_SOLD_OUT', 'There is not enough left of "%s"', 409)
