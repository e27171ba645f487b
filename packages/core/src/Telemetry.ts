/**
 * Spans and metrics of the client.
 *
 * **Details**
 *
 * A call has one span with the attributes of the GenAI conventions, and below it one span for each HTTP request with the attributes of the HTTP
 * conventions. Spans are made only if the application provides a tracer, for example with `effect/observability/OtlpTracer`. Metrics are always
 * recorded in `Metric.MetricRegistry`. Their attributes are `gen_ai.operation.name`, `gen_ai.provider.name`, `gen_ai.request.model`,
 * `gen_ai.response.model`, `server.address`, `server.port` and `unit`, from which Effect's exporter reads the unit. `error.type` is the `_tag` of
 * the error's reason, or `interrupted`.
 *
 * Source: https://github.com/open-telemetry/semantic-conventions-genai (autumn 2026),
 * https://opentelemetry.io/docs/specs/semconv/http/http-spans/
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { identity } from "effect/Function"
import type * as Metric from "effect/Metric"
import * as Predicate from "effect/Predicate"
import { ParentSpan, type Span } from "effect/Tracer"
import type { Anomaly } from "./Anomaly.ts"
import type { ChatCompletion, ChatCompletionChunk, ChatCompletionRequest, CompletionUsage } from "./ChatCompletion.ts"
import { errorType, requestAttributes, responseAttributes, serverOf } from "./client/attributes.ts"
import { type Attributes, counter, counterWith, durations, durationsWith } from "./client/metric.ts"
import { openSpan, PropagateTrace, setAttributes, traceHeaders } from "./client/span.ts"
import type { ParadigmError } from "./ParadigmError.ts"

/**
 * Content of spans and headers beyond names and numbers.
 *
 * @category options
 * @since 0.1.0
 */
export interface TelemetryOptions {
  /**
   * Whether to send the `traceparent` header. Triggers a CORS preflight in browsers. Defaults to `true` for the spans of OpenTelemetry that the
   * client with promises creates, and otherwise to `false`.
   */
  readonly propagateTrace?: boolean | undefined
  /**
   * Whether to record messages, tool names and the raw text of deviations in the span. They may hold personal data. API keys of the client are
   * masked, other secrets are not. Defaults to `false`.
   */
  readonly recordContent?: boolean | undefined
}

/**
 * Reports one call of a client.
 *
 * @category models
 * @since 0.1.0
 */
export interface Observation {
  /** Runs the HTTP requests of the call. */
  readonly run: <A, E, R>(requests: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Reports the chunks of one network read. */
  readonly chunks: (chunks: ReadonlyArray<ChatCompletionChunk>) => void
  /** Reports the end of the call, with the partial completion and the repaired deviations. */
  readonly end: (
    exit: Exit.Exit<unknown, ParadigmError>,
    completion: ChatCompletion | undefined,
    anomalies?: ReadonlyArray<Anomaly>
  ) => Effect.Effect<void>
}

/**
 * Reports the calls of a client. `make` reports them to OpenTelemetry.
 *
 * @category models
 * @since 0.1.0
 */
export interface Telemetry {
  /** Begins the report of a call. `isStream` is `true` if the response is a stream. `redact` masks the keys that were sent in a text. */
  readonly observe: (
    request: ChatCompletionRequest,
    url: URL,
    isStream: boolean,
    redact?: (text: string) => string
  ) => Effect.Effect<Observation>
  /** Runs one HTTP request, up to the headers of its response. `evaluate` receives the trace headers to send. */
  readonly httpSpan: <A extends { readonly status: number }, E extends { readonly reason: { readonly _tag: string } }, R>(
    url: URL,
    evaluate: (trace: Readonly<Record<string, string>>) => Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E, R>
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
 * Time between the chunks of a stream, in seconds. The chunks of one network read count as one, because the time between them is decoding time.
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
 * import * as ParadigmClient from "@paradigm-effect/core/ParadigmClient"
 * import * as Telemetry from "@paradigm-effect/core/Telemetry"
 * import * as Transport from "@paradigm-effect/core/Transport"
 * import { Effect, Metric } from "effect"
 *
 * const layer = ParadigmClient.layerWith(Transport.fromFetch(), {
 *   apiKey: process.env.PARADIGM_API_KEY ?? "",
 *   baseUrl: process.env.PARADIGM_BASE_URL,
 *   telemetry: Telemetry.make()
 * })
 *
 * const program = Effect.gen(function* () {
 *   const paradigm = yield* ParadigmClient.ParadigmClient
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

const countIn = (holder: unknown, name: string): number | undefined => {
  const value: unknown = Predicate.hasProperty(holder, name) ? holder[name] : undefined
  return typeof value === "number" && Number.isSafeInteger(value) ? value : undefined
}

// By name: `cache_write_tokens` is not in the contract, and a server may omit any of them.
const usageOf = (usage: CompletionUsage | null | undefined) => {
  const details = usage?.prompt_tokens_details
  return [
    [inputTokens, "gen_ai.usage.input_tokens", countIn(usage, "prompt_tokens")],
    [outputTokens, "gen_ai.usage.output_tokens", countIn(usage, "completion_tokens")],
    [cacheReadInputTokens, "gen_ai.usage.cache_read.input_tokens", countIn(details, "cached_tokens")],
    [cacheWriteInputTokens, "gen_ai.usage.cache_write.input_tokens", countIn(details, "cache_write_tokens")],
    [reasoningOutputTokens, "gen_ai.usage.reasoning.output_tokens", countIn(usage?.completion_tokens_details, "reasoning_tokens")]
  ] as const
}

const logRepaired = ({ count, expected, path, repair }: Anomaly) =>
  Effect.logDebug(`Repaired the response at ${path}: expected ${expected} (${repair}, ${count} times)`)

// Reports nothing after its end.
class Call implements Observation {
  readonly #span: Span | undefined
  readonly #clock: Clock.Clock
  readonly #context: Context.Context<never>
  readonly #options: TelemetryOptions
  readonly #redact: (text: string) => string
  readonly #startTime: bigint
  #attributes: Attributes
  #timePerChunk: Metric.Histogram<number> | undefined
  #lastRead = 0
  #isEnded = false

  constructor(
    span: Span | undefined,
    context: Context.Context<never>,
    attributes: Attributes,
    options: TelemetryOptions,
    redact: (text: string) => string
  ) {
    this.#span = span
    this.#clock = Context.get(context, Clock.Clock)
    this.#context = context
    this.#options = options
    this.#redact = redact
    this.#attributes = attributes
    // The start of the span, if there is a span: by the convention, the span and the metric have the same duration.
    this.#startTime = span?.status.startTime || this.#clock.currentTimeNanosUnsafe()
  }

  run<A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return this.#span === undefined ? effect : Effect.provideService(effect, ParentSpan, this.#span)
  }

  chunks(chunks: ReadonlyArray<ChatCompletionChunk>): void {
    const now = this.#clock.currentTimeMillisUnsafe()
    if (this.#timePerChunk === undefined) {
      this.#setModel(chunks[0]?.model)
      const seconds = this.#secondsUntil(this.#clock.currentTimeNanosUnsafe())
      this.#span?.attribute("gen_ai.response.time_to_first_chunk", seconds)
      durationsWith(timeToFirstChunk, this.#attributes).updateUnsafe(seconds, this.#context)
      this.#timePerChunk = durationsWith(timePerOutputChunk, this.#attributes)
    } else {
      this.#timePerChunk.updateUnsafe((now - this.#lastRead) / 1000, this.#context)
    }
    this.#lastRead = now
  }

  end(
    exit: Exit.Exit<unknown, ParadigmError>,
    completion: ChatCompletion | undefined,
    repaired: ReadonlyArray<Anomaly> = []
  ): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.#isEnded) return Effect.void
      this.#isEnded = true
      const span = this.#span
      const now = this.#clock.currentTimeNanosUnsafe()
      this.#setModel(completion?.model)
      if (completion !== undefined && span !== undefined) setAttributes(span, responseAttributes(completion, this.#options, this.#redact))
      const tokens = { ...this.#attributes, "gen_ai.token.modality": "unknown" }
      for (const [metric, attribute, value] of usageOf(completion?.usage)) {
        setAttributes(span, { [attribute]: value })
        counterWith(metric, tokens).updateUnsafe(BigInt(value ?? 0), this.#context)
      }
      for (const anomaly of repaired) this.#count(anomaly, now)
      const type = errorType(exit)
      setAttributes(span, { "error.type": type })
      span?.end(now, exit)
      const attributes = type === undefined ? this.#attributes : { ...this.#attributes, "error.type": type }
      durationsWith(inferenceDuration, attributes).updateUnsafe(this.#secondsUntil(now), this.#context)
      // In the context of the call: the fiber that ends a stream may not have it.
      return Effect.provideContext(Effect.forEach(repaired, logRepaired, { discard: true }), this.#context)
    })
  }

  #count({ count, expected, path, raw, repair }: Anomaly, now: bigint): void {
    const name = { "paradigm.anomaly.repair": repair }
    counterWith(anomalies, { ...this.#attributes, ...name }).updateUnsafe(BigInt(count), this.#context)
    const attributes = { ...name, "paradigm.anomaly.path": path, "paradigm.anomaly.expected": expected, "paradigm.anomaly.count": count }
    // The raw text may quote the conversation.
    const content = this.#options.recordContent === true ? { "paradigm.anomaly.raw": this.#redact(raw) } : {}
    this.#span?.event("paradigm.anomaly", now, { ...attributes, ...content })
  }

  #secondsUntil(now: bigint): number {
    return Number(now - this.#startTime) / 1e9
  }

  #setModel(model: string | undefined): void {
    if (model) this.#attributes = { ...this.#attributes, "gen_ai.response.model": model }
  }
}

/**
 * Reports calls by the OpenTelemetry conventions.
 *
 * **Details**
 *
 * The option `telemetry` defaults to `Telemetry.make()` in Node, in Deno and for clients on an `HttpClient`. Browsers report nothing by default,
 * because telemetry adds 7 KB (gzipped) to a page.
 *
 * @example
 * ```ts
 * import * as ParadigmClient from "@paradigm-effect/core/ParadigmClient"
 * import * as Telemetry from "@paradigm-effect/core/Telemetry"
 * import * as Transport from "@paradigm-effect/core/Transport"
 * import { Effect, Tracer } from "effect"
 *
 * const layer = ParadigmClient.layerWith(Transport.fromFetch(), {
 *   apiKey: process.env.PARADIGM_API_KEY ?? "",
 *   baseUrl: process.env.PARADIGM_BASE_URL,
 *   telemetry: Telemetry.make({ recordContent: true })
 * })
 *
 * const spans: Array<Tracer.NativeSpan> = []
 * const tracer = Tracer.make({
 *   span: (options) => {
 *     const span = new Tracer.NativeSpan(options)
 *     spans.push(span)
 *     return span
 *   }
 * })
 *
 * const program = Effect.gen(function* () {
 *   const paradigm = yield* ParadigmClient.ParadigmClient
 *   yield* paradigm.createChatCompletion({ model: "alfred-4.2", messages: [{ role: "user", content: "Say hello" }] })
 * })
 *
 * await Effect.runPromise(program.pipe(Effect.provide(layer), Effect.withTracer(tracer)))
 *
 * console.log(spans.map(({ name }) => name)) // => [ 'chat alfred-4.2', 'POST' ]
 * console.log(spans[0]?.attributes.get("gen_ai.output.messages")) // => [{"role":"assistant","parts":[{"type":"text","content":"Hello!"}]}]
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: TelemetryOptions = {}): Telemetry => ({
  observe: Effect.fnUntraced(function* (request, url, isStream, redact = identity) {
    const names = { "gen_ai.operation.name": "chat", "gen_ai.provider.name": "paradigm", "gen_ai.request.model": request.model }
    const server = serverOf(url)
    // A sampler sees only the initial attributes of a span.
    const span = yield* openSpan(`chat ${request.model}`, { ...names, ...server })
    if (span !== undefined) setAttributes(span, requestAttributes(request, isStream, options, redact))
    const attributes = { ...names, ...server, "server.port": String(server["server.port"]) }
    return new Call(span, yield* Effect.context(), attributes, options, redact)
  }),
  httpSpan: Effect.fnUntraced(function* (url, evaluate) {
    // Without the query: it may hold credentials.
    const span = yield* openSpan("POST", { "http.request.method": "POST", "url.full": url.origin + url.pathname, ...serverOf(url) })
    const request = evaluate((options.propagateTrace ?? (yield* PropagateTrace)) ? yield* traceHeaders(span) : {})
    if (span === undefined) return yield* request
    const clock = yield* Clock.Clock
    return yield* Effect.onExit(request, (exit) =>
      Effect.sync(() => {
        const status = Exit.isSuccess(exit) ? exit.value.status : undefined
        const isRefused = status !== undefined && status >= 400
        setAttributes(span, { "http.response.status_code": status, "error.type": isRefused ? String(status) : errorType(exit) })
        span.end(clock.currentTimeNanosUnsafe(), isRefused ? Exit.fail(`HTTP status ${status}`) : exit)
      })
    )
  })
})
