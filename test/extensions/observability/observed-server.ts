import type { Attributes } from '@opentelemetry/api'
import { AggregationTemporality, DataPointType, MeterProvider, MetricReader, type Histogram } from '@opentelemetry/sdk-metrics'
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor, type ReadableSpan } from '@opentelemetry/sdk-trace-base'
import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import observability, { type ObservabilityOptions } from '../../../observability.ts'
import type { Orm } from '../../support/databases.ts'
import { startServer, type Server } from '../../support/server.ts'

/** Of a histogram, `value` is its count. */
export interface Point {
  attributes: Attributes
  value: number
  sum?: number | undefined
}

export interface Observed extends Server {
  /** The points of a metric now. */
  points (name: string): Promise<Point[]>
  /** Its unit, and the names of all. */
  units (): Promise<Record<string, string>>
  /** Those that have ended since it was last asked. */
  spans (): ReadableSpan[]
}

class Reader extends MetricReader {
  constructor () {
    super({ aggregationTemporalitySelector: () => AggregationTemporality.CUMULATIVE })
  }

  protected async onForceFlush (): Promise<void> {}
  protected async onShutdown (): Promise<void> {}
}

/** A real server that is observed by OpenTelemetry's own SDK. */
export async function startObserved (t: Test, orm: Orm, options: ObservabilityOptions, routes: (app: FastifyInstance) => void): Promise<Observed> {
  const reader = new Reader()
  const meterProvider = new MeterProvider({ readers: [reader] })
  const exporter = new InMemorySpanExporter()
  const tracerProvider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] })
  const server = await startServer(t, { orm }, routes, app => { app.register(observability, { meterProvider, tracerProvider, ...options }) })
  const all = async () => (await reader.collect()).resourceMetrics.scopeMetrics.flatMap(({ metrics }) => metrics)
  return {
    ...server,
    async points (name) {
      const metric = (await all()).find(({ descriptor }) => descriptor.name === name)
      if (metric === undefined) return []
      if (metric.dataPointType !== DataPointType.HISTOGRAM) return metric.dataPoints.map(({ attributes, value }) => ({ attributes, value: value as number }))
      return metric.dataPoints.map(({ attributes, value: { count, sum } }: { attributes: Attributes, value: Histogram }) => ({ attributes, value: count, sum }))
    },
    units: async () => Object.fromEntries((await all()).map(({ descriptor: { name, unit } }) => [name, unit])),
    spans () {
      const spans = exporter.getFinishedSpans()
      exporter.reset()
      return spans
    }
  }
}
