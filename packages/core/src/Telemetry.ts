/**
 * Spans and metrics of the client.
 *
 * **Details**
 *
 * A call has one span with the attributes of the GenAI conventions, and below it one span for each HTTP request with the attributes of the HTTP
 * conventions. Spans are made only if the application provides a tracer, for example with `effect/observability/OtlpTracer`. Metrics are always
 * recorded in `Metric.MetricRegistry`. Their attributes are `gen_ai.operation.name`, `gen_ai.provider.name`, `gen_ai.request.model`,
 * `gen_ai.response.model`, `server.address`, `server.port` and `unit`, where the exporter reads the unit. `error.type` is the reason of the
 * `ParadigmError`, or `interrupted`.
 *
 * Source: https://github.com/open-telemetry/semantic-conventions-genai (autumn 2026),
 * https://opentelemetry.io/docs/specs/semconv/http/http-spans/
 *
 * @since 0.1.0
 */
import type * as Metric from "effect/Metric"
import { counter, durations } from "./client/metric.ts"

/**
 * Content of spans and headers beyond names and numbers.
 *
 * @category options
 * @since 0.1.0
 */
export interface TelemetryOptions {
  /** Whether to send the `traceparent` header. Triggers a CORS preflight in browsers. Defaults to `false`. */
  readonly propagateTrace?: boolean | undefined
  /** Whether to record messages and tool names in the span. They may hold personal data. Defaults to `false`. */
  readonly recordContent?: boolean | undefined
}

/**
 * Duration of a call in seconds, from the first HTTP request to the end of the response. Includes retries.
 *
 * @category metrics
 * @since 0.1.0
 */
export const inferenceDuration: Metric.Histogram<number> = durations("gen_ai.client.inference.duration", "Duration of an inference call")

/**
 * Time from the call to the first chunk of its stream, in seconds.
 *
 * @category metrics
 * @since 0.1.0
 */
export const timeToFirstChunk: Metric.Histogram<number> = durations(
  "gen_ai.client.inference.time_to_first_chunk",
  "Time to receive the first chunk"
)

/**
 * Time between the chunks of a stream, in seconds. Chunks that arrive in one network read count once: the time between them is that of decoding.
 *
 * @category metrics
 * @since 0.1.0
 */
export const timePerOutputChunk: Metric.Histogram<number> = durations(
  "gen_ai.client.inference.time_per_output_chunk",
  "Time between two chunks"
)

/**
 * Input (prompt) tokens, including cached tokens. Adds 0 for a response without usage.
 *
 * @category metrics
 * @since 0.1.0
 */
export const inputTokens: Metric.Counter<bigint> = counter("gen_ai.client.inference.usage.input_tokens", "Input tokens")

/**
 * Output (completion) tokens, including reasoning tokens. Adds 0 for a response without usage.
 *
 * @example
 * ```ts
 * import { ParadigmClient } from "@paradigm-effect/core/ParadigmClient"
 * import * as ParadigmFetch from "@paradigm-effect/core/ParadigmFetch"
 * import * as Telemetry from "@paradigm-effect/core/Telemetry"
 * import { Effect, Metric } from "effect"
 *
 * const layer = ParadigmFetch.layer({ apiKey: process.env.PARADIGM_API_KEY ?? "", baseUrl: process.env.PARADIGM_BASE_URL }, {})
 *
 * const program = Effect.gen(function* () {
 *   const paradigm = yield* ParadigmClient
 *   yield* paradigm.createChatCompletion({ model: "alfred-4.2", messages: [{ role: "user", content: "Say hello" }] })
 *   // One series for each model, server and provider.
 *   for (const metric of yield* Metric.snapshot) {
 *     if (metric.id === Telemetry.outputTokens.id && metric.type === "Counter") console.log(metric.state.count) // => 3n
 *   }
 * })
 *
 * await Effect.runPromise(Effect.provide(program, layer))
 * ```
 *
 * @category metrics
 * @since 0.1.0
 */
export const outputTokens: Metric.Counter<bigint> = counter("gen_ai.client.inference.usage.output_tokens", "Output tokens")

/**
 * Input tokens that the server read from its cache. Included in `inputTokens`.
 *
 * @category metrics
 * @since 0.1.0
 */
export const cacheReadInputTokens: Metric.Counter<bigint> = counter(
  "gen_ai.client.inference.usage.cache_read.input_tokens",
  "Input tokens read from the cache"
)

/**
 * Input tokens that the server wrote to its cache. Included in `inputTokens`.
 *
 * @category metrics
 * @since 0.1.0
 */
export const cacheWriteInputTokens: Metric.Counter<bigint> = counter(
  "gen_ai.client.inference.usage.cache_write.input_tokens",
  "Input tokens written to the cache"
)

/**
 * Reasoning tokens. Included in `outputTokens`.
 *
 * @category metrics
 * @since 0.1.0
 */
export const reasoningOutputTokens: Metric.Counter<bigint> = counter(
  "gen_ai.client.inference.usage.reasoning.output_tokens",
  "Output tokens used for reasoning"
)

/**
 * Deviations of responses from the contract, by the attribute `paradigm.anomaly.repair`.
 *
 * @category metrics
 * @since 0.1.0
 */
export const anomalies: Metric.Counter<bigint> = counter("paradigm.client.anomalies", "Repaired deviations from the contract", {
  unit: "{anomaly}"
})
