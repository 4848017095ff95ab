import type { Benchmark } from './environment.ts'
import { measureExtensions } from './extensions.ts'
import { measureFirstRequests } from './first-requests.ts'
import { measureGrowth } from './growth.ts'
import { measureMemory } from './memory.ts'
import { measurePair } from './measure-pair.ts'
import { measureWorkload } from './measure-workload.ts'
import { measureNetwork } from './network/measure-network.ts'
import { pairs } from './pairs.ts'
import { measureSandbox } from './sandbox.ts'
import { measureShare } from './share.ts'
import { workloads } from './workloads.ts'

/** By the names that the command takes, in the order in which they are run and shown. */
export const benchmarks: Record<string, Benchmark> = {
  ...Object.fromEntries(Object.entries(workloads).map(([name, workload]): [string, Benchmark] => [name, bench => measureWorkload(bench, workload)])),
  network: measureNetwork,
  'first-requests': measureFirstRequests,
  share: measureShare,
  concurrency: bench => measureGrowth(bench, {
    title: 'From 1 client to 1000: read one row',
    unit: 'clients',
    sizes: [1, 10, 100, 1000],
    load: clients => ({ method: 'GET', path: '/book', connections: clients, status: 200 }),
    added: { label: 'per request', count: () => 1 }
  }),
  'concurrent-inserts': bench => measureGrowth(bench, {
    title: 'From 1 client to 1000: insert one row',
    unit: 'clients',
    sizes: [1, 10, 100, 1000],
    load: clients => ({ method: 'POST', path: '/loan', connections: clients, status: 201 }),
    added: { label: 'per request', count: () => 1 }
  }),
  entities: bench => measureGrowth(bench, {
    title: 'From 1 to 10,000 entities in one flush',
    unit: 'entities',
    sizes: [1, 10, 100, 1000, 10_000],
    load: entities => ({ method: 'POST', path: `/entities/${entities}`, connections: 1, status: 201 }),
    added: { label: 'per entity', count: entities => entities }
  }),
  statements: bench => measureGrowth(bench, {
    title: 'From 1 to 100 statements per request',
    unit: 'statements',
    sizes: [1, 10, 100],
    load: statements => ({ method: 'GET', path: `/statements/${statements}`, connections: 10, status: 200 }),
    added: { label: 'per statement', count: statements => statements }
  }),
  ...Object.fromEntries(Object.entries(pairs).map(([name, pair]): [string, Benchmark] => [name, bench => measurePair(bench, pair)])),
  extensions: measureExtensions,
  memory: measureMemory,
  sandbox: measureSandbox
}
