import createError from '@fastify/error'

export const UNAUTHORIZED = createError('NOTES_UNAUTHORIZED', 'Say who you are: authorization: Bearer <token>', 401)

export const NOT_FOUND = createError<[number]>('NOTES_NOT_FOUND', 'There is no note %d', 404)
