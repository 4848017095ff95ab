import type { Variant } from './variant.ts'

/** Fastify, and nothing else. */
export const bare: Variant = async () => undefined
