import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import ts from 'typescript'
import { root } from './support/docs.ts'

const ENTRIES = ['index', 'testing', 'idempotency', 'inspector', 'guards', 'observability']

/** What the types of a file import: TypeScript leaves out what only its code needs. */
function importsOf (fileName: string): string[] {
  const compilerOptions = { isolatedDeclarations: true, removeComments: true, stripInternal: true }
  const { statements } = ts.createSourceFile(fileName, ts.transpileDeclaration(readFileSync(fileName, 'utf8'), { fileName, compilerOptions }).outputText, ts.ScriptTarget.Latest, true)
  const rest = statements.filter(statement => !ts.isImportDeclaration(statement)).map(statement => statement.getText()).join('\n')
  return statements.flatMap(statement => {
    if (ts.isExportDeclaration(statement)) return statement.moduleSpecifier ?? []
    if (!ts.isImportDeclaration(statement)) return []
    const { name, namedBindings: named } = statement.importClause ?? {}
    const names = [name, ...named === undefined ? [] : ts.isNamedImports(named) ? named.elements.map(({ name }) => name) : [named.name]]
    return names.some(name => name !== undefined && new RegExp(`\\b${name.text}\\b`).test(rest)) ? statement.moduleSpecifier : []
  }).map(specifier => (specifier as ts.StringLiteral).text)
}

/** The packages that the types of an entry point import, each with the way there. */
function packagesReachedBy (entry: string): Map<string, string> {
  const packages = new Map<string, string>()
  const ways = new Map([[join(root, entry), entry]])
  for (const [file, way] of ways) {
    for (const name of importsOf(file)) {
      if (!name.startsWith('.')) packages.set(name, way)
      else if (!ways.has(join(file, '..', name))) ways.set(join(file, '..', name), `${way} > ${name}`)
    }
  }
  return packages
}

for (const entry of ENTRIES) {
  t.test(`the types of ${entry}.ts ask for no other packages than those that its users have`, async t => {
    const packages = packagesReachedBy(`${entry}.ts`)
    t.ok(packages.has('fastify') || packages.has('@mikro-orm/core'), 'it looks at something')
    const allowed = new Set(['@mikro-orm/core', 'fastify', ...(entry === 'observability' ? ['@opentelemetry/api'] : [])])
    t.strictSame([...packages].filter(([name]) => !allowed.has(name) && !name.startsWith('node:')), [])
  })
}
