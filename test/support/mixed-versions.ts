import { Utils } from '@mikro-orm/core'
import { createRequire } from 'node:module'

const { version } = createRequire(import.meta.url)('@mikro-orm/sqlite/package.json')
const core = Utils.getORMVersion()

/**
 * Why a test is skipped that needs MikroORM's packages to be of one version, if they are not: the newest of each are not always.
 * With core 7.2.5 and sqlite 7.2.1, MikroORM itself takes every date for changed.
 */
export const MIXED_VERSIONS: { skip: string | false } = { skip: version !== core && `@mikro-orm/sqlite is ${version}, and core ${core}` }
