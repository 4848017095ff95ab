import { keyOf, type Comparison, type Explained, type Runs } from './compare.ts'

interface Compared {
  files: string[]
  runs: Runs
  comparison: Comparison
  list: Explained[]
}

export function summarize ({ files, runs: { plain, committing }, comparison, list }: Compared): string {
  const { compared, used, sooner, needShared, failPlain, explained, unexplained, outdated, absent } = comparison
  const lines = [
    `${files.length} files, ${plain.notLoaded.size} of which could not be loaded, or run to their end`,
    `${plain.tests.size} tests: ${compared.length} compared, ${used} of which use the EntityManager of a context`,
    `not compared: ${failPlain.length} that fail or are skipped without a context, ${needShared.length} that need the EntityManager of another test`,
    `${sooner.length} differ because they count transactions, or look from outside: they pass if each flush is committed`,
    `${explained.length} explained differences`,
    ...list.map(({ why, tests }) => ({ why, count: count(tests, explained) })).filter(({ count }) => count > 0)
      .map(({ why, count }) => `    ${count}: ${why}`),
    ...unexplained.length > 0 ? [`${unexplained.length} differences that are not explained`] : [],
    ...unexplained.map(key => `    ${key}\n        ${committing.tests.get(key)?.error ?? 'it was not run'}`),
    ...outdated.length > 0 ? [`${outdated.length} differences that are in the list, and are none any more`] : [],
    ...outdated.map(key => `    ${key}`),
    ...absent.length > 0 ? [`${absent.length} differences that are in the list, and were not compared`] : [],
    ...absent.map(key => `    ${key}`)
  ]
  return lines.join('\n')
}

function count (tests: Explained['tests'], explained: string[]): number {
  return Object.entries(tests).flatMap(([file, names]) => names.map(name => keyOf(file, name))).filter(key => explained.includes(key)).length
}
