import { readFileSync } from 'node:fs'
import { registerHooks } from 'node:module'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'

/** Node strips types, and leaves decorators: what is in the folder is compiled as its tsconfig.json says. */
export function compileDecorators (folder: URL): void {
  const { config } = ts.readConfigFile(fileURLToPath(new URL('tsconfig.json', folder)), ts.sys.readFile)
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, fileURLToPath(folder))
  registerHooks({
    load (url, context, next) {
      if (!url.startsWith(folder.href) || !url.endsWith('.ts')) return next(url, context)
      const source = readFileSync(fileURLToPath(url), 'utf8')
      const { outputText } = ts.transpileModule(source, {
        fileName: url,
        compilerOptions: { ...options, module: ts.ModuleKind.ESNext, rewriteRelativeImportExtensions: false, inlineSourceMap: true, noEmit: false }
      })
      return { format: 'module', source: outputText, shortCircuit: true }
    }
  })
}
