import { fileURLToPath } from 'node:url'

/** Entities that MikroORM finds in folders have to come through vite, like all others: Node knows no decorators. */
Object.assign(globalThis, { dynamicImportProvider: async (url: string) => await import(/* @vite-ignore */ fileURLToPath(url)) })
