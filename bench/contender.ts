import type { VariantName } from './variants/variants.ts'

/** A server that takes part in a race. */
export interface Contender {
  /** Under which it is shown. */
  name: string
  variant: VariantName
  /** The folder of its benchmark, beside its library. Without one, it is this one. */
  folder?: URL
}

export function contender (variant: VariantName): Contender {
  return { name: variant, variant }
}
