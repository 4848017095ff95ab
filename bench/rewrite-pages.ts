/** `npm run bench:pages` makes the pages and their picture from the results that there are, and measures nothing. */
import { benchmarks } from './benchmarks.ts'
import { writePages } from './pages.ts'
import { overviewPlot, writePlot } from './plots.ts'
import { readAll } from './results.ts'

export async function rewritePages (): Promise<void> {
  const all = await readAll(Object.keys(benchmarks))
  await writePages(all)
  await writePlot('overview', overviewPlot(all))
}

if (import.meta.main) await rewritePages()
