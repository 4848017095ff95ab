import type { MeterProvider, TracerProvider } from '@opentelemetry/api'
import { PrometheusExporter } from '@opentelemetry/exporter-prometheus'
import { MeterProvider as SdkMeterProvider } from '@opentelemetry/sdk-metrics'

export interface Telemetry {
  meterProvider: MeterProvider
  tracerProvider: TracerProvider
  /** Answers what Prometheus asks for. */
  prometheus: PrometheusExporter
}

/** An app of your own would have one of OpenTelemetry's exporters that sends spans somewhere, and perhaps metrics too. */
export function openTelemetry (tracerProvider: TracerProvider): Telemetry {
  const prometheus = new PrometheusExporter({ preventServerStart: true })
  return { meterProvider: new SdkMeterProvider({ readers: [prometheus] }), tracerProvider, prometheus }
}
