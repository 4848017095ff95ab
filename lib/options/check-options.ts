import { FST_ORM_BAD_OPTION } from '../errors.ts'
import { show } from '../util/show.ts'

/** What an option takes, as errors say it, and whether a value is that. */
export type Check = readonly [takes: string, isRight: (value: any) => boolean]

/** Throws `FST_ORM_BAD_OPTION` for values that an option does not take, and for options that there are not; `ignored` are somebody else's. */
export function checkOptions (where: string, options: object, known: Record<string, Check>, ignored: readonly string[] = []): void {
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined || ignored.includes(name)) continue
    const rule = Object.hasOwn(known, name) ? known[name] : undefined
    if (rule === undefined) {
      throw new FST_ORM_BAD_OPTION(where, name, `no value, as there is no such option (there are ${Object.keys(known).join(', ')})`, show(value))
    }
    const [takes, isRight] = rule
    if (!isRight(value)) throw new FST_ORM_BAD_OPTION(where, name, takes, show(value))
  }
}

/** Fastify's own, which `register()` passes on to every plugin. */
export const REGISTER_OPTIONS: readonly string[] = ['prefix', 'logLevel', 'logSerializers']
