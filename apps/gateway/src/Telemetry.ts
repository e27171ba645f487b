/**
 * Exports traces, logs and metrics over OTLP. The module is loaded only by a gateway whose configuration or environment names a collector. A collector
 * that fails costs telemetry, not requests: batches are dropped for a minute.
 */
import * as Cause from "effect/Cause"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import type { Severity } from "effect/LogLevel"
import * as Metric from "effect/Metric"
import * as Otlp from "effect/observability/Otlp"
import * as OtlpSerialization from "effect/observability/OtlpSerialization"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Tracer from "effect/Tracer"
import packageJson from "../package.json" with { type: "json" }
import type { TelemetryConfig } from "./TelemetryConfig.ts"
import type { LineWriter } from "./LineWriter.ts"

/** What is exported. */
export interface TelemetrySources {
  /** Its lines are exported as logs. */
  readonly writer: LineWriter
  readonly metrics: {
    readonly registry: (typeof Metric.MetricRegistry)["Service"]
    /** Updates the gauges. */
    readonly collect: () => void
  }
}

// The collector's response, body included. Batches are kept in memory until then.
const patience = "10 seconds"
const collectInterval = "1 second"

const client = Layer.effect(
  HttpClient.HttpClient,
  Effect.map(
    HttpClient.HttpClient,
    HttpClient.transformResponse((response) =>
      response.pipe(
        Effect.tap(({ arrayBuffer }) => Effect.ignore(arrayBuffer)),
        Effect.timeoutOrElse({ duration: patience, orElse: () => Effect.die(new Cause.TimeoutError("The collector did not answer")) })
      )
    )
  )
).pipe(Layer.provide(FetchHttpClient.layer))

// The environment wins over the file. OpenTelemetry's default exporter is OTLP, Effect's is none.
const settings = ({ endpoint }: TelemetryConfig) =>
  ConfigProvider.fromEnv({
    env: {
      ...(endpoint === undefined ? {} : { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint }),
      OTEL_TRACES_EXPORTER: "otlp",
      OTEL_METRICS_EXPORTER: "otlp",
      OTEL_LOGS_EXPORTER: "otlp",
      OTEL_SERVICE_NAME: "paradigm-gateway",
      OTEL_SERVICE_VERSION: packageJson.version
    }
  })

const levels: Readonly<Record<string, Severity>> = { DEBUG: "Debug", INFO: "Info", WARN: "Warn", ERROR: "Error", FATAL: "Fatal" }

// A line of the log is a JSON object.
const logOf = (line: string): Effect.Effect<void> => {
  const { level, message, spanId, time: _, traceId, ...fields } = JSON.parse(line) as Readonly<Record<string, unknown>>
  const log = Effect.annotateLogs(Effect.logWithLevel(levels[String(level)] ?? "Info")(message), fields)
  return typeof traceId === "string" && typeof spanId === "string"
    ? Effect.withParentSpan(log, Tracer.externalSpan({ traceId, spanId, sampled: true }))
    : log
}

/** Exports until the scope ends, and then what is left. Returns the tracer of requests. */
export const start = Effect.fnUntraced(function* (
  config: TelemetryConfig,
  { metrics, writer }: TelemetrySources
): Effect.fn.Return<Tracer.Tracer, never, Scope.Scope> {
  const provider = ConfigProvider.orElse(yield* ConfigProvider.ConfigProvider, settings(config))
  const serialization = config.protocol === "http/json" ? OtlpSerialization.layerJson : OtlpSerialization.layerProtobuf
  const layer = Otlp.layerFromConfig({ loggerMergeWithExisting: false }).pipe(
    Layer.provide(Layer.merge(client, serialization)),
    Layer.provide(Layer.succeed(ConfigProvider.ConfigProvider, provider))
  )
  const exporters = yield* Effect.provideService(Layer.build(layer), Metric.MetricRegistry, metrics.registry)
  const context = Context.merge(yield* Effect.context(), exporters)
  yield* Effect.forkScoped(Effect.repeat(Effect.sync(metrics.collect), Schedule.spaced(collectInterval)))
  const run = Effect.runForkWith(context)
  writer.onLine = (line) => void run(logOf(line))
  yield* Effect.addFinalizer(() => Effect.sync(() => (writer.onLine = undefined)))
  return Context.get(context, Tracer.Tracer)
})
