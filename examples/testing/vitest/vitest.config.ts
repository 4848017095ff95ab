import { defaultServerConditions } from 'vite'
import { defineConfig } from 'vitest/config'

/** In this checkout only: the package's own source is tested. A project of your own needs none of it. */
export default defineConfig({
  ssr: { resolve: { conditions: ['fastify-context-orm-development', ...defaultServerConditions] } }
})
