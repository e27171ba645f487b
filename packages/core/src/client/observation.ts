// The observation of a call: one span with the attributes of the GenAI conventions, below it one for each HTTP request with those of the HTTP
// conventions, and the metrics of `Telemetry`.
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import type { Logger } from "effect/Logger"
import type { Histogram } from "effect/Metric"
import * as Predicate from "effect/Predicate"
import { MinimumLogLevel } from "effect/References"
import { ParentSpan, type Span } from "effect/Tracer"
import type { Anomaly } from "../Anomaly.ts"
import type { ChatCompletion, ChatCompletionChunk, ChatCompletionRequest, CompletionUsage } from "../ChatCompletion.ts"
import type { ParadigmError } from "../ParadigmError.ts"
import * as Telemetry from "../Telemetry.ts"
import { toMessage } from "./conversation.ts"
import { type Attributes, counterWith, durationsWith } from "./metric.ts"
import { openSpan, setAttributes, traceHeaders } from "./span.ts"

const countIn = (holder: unknown, name: string): number | undefined => {
  const value: unknown = Predicate.hasProperty(holder, name) ? holder[name] : undefined
  return typeof value === "number" && Number.isSafeInteger(value) ? value : undefined
}

// By name: `cache_write_tokens` is not in the contract, and a server may leave out any of them.
const usageOf = (usage: CompletionUsage | null | undefined) => {
  const details = usage?.prompt_tokens_details
  return [
    [Telemetry.inputTokens, "gen_ai.usage.input_tokens", countIn(usage, "prompt_tokens")],
    [Telemetry.outputTokens, "gen_ai.usage.output_tokens", countIn(usage, "completion_tokens")],
    [Telemetry.cacheReadInputTokens, "gen_ai.usage.cache_read.input_tokens", countIn(details, "cached_tokens")],
    [Telemetry.cacheWriteInputTokens, "gen_ai.usage.cache_write.input_tokens", countIn(details, "cache_write_tokens")],
    [Telemetry.reasoningOutputTokens, "gen_ai.usage.reasoning.output_tokens", countIn(usage?.completion_tokens_details, "reasoning_tokens")]
  ] as const
}

const requestAttributes = (request: ChatCompletionRequest, isStream: boolean, { recordContent }: Telemetry.TelemetryOptions) => {
  const { n, stop } = request
  const format = request.response_format?.type
  return {
    "gen_ai.request.stream": isStream || undefined,
    "gen_ai.request.max_tokens": request.max_completion_tokens ?? request.max_tokens,
    "gen_ai.request.temperature": request.temperature,
    "gen_ai.request.top_p": request.top_p,
    "gen_ai.request.top_k": request.top_k,
    "gen_ai.request.seed": request.seed,
    "gen_ai.request.frequency_penalty": request.frequency_penalty,
    "gen_ai.request.presence_penalty": request.presence_penalty,
    "gen_ai.request.stop_sequences": typeof stop === "string" ? [stop] : stop,
    "gen_ai.request.choice.count": n === 1 ? undefined : n,
    "gen_ai.request.reasoning.level": request.reasoning_effort,
    "gen_ai.output.type": format === "text" ? format : format?.startsWith("json") === true ? "json" : undefined,
    ...(recordContent === true && {
      "gen_ai.input.messages": JSON.stringify(request.messages.map(toMessage)),
      "gen_ai.tool.definitions":
        request.tools && JSON.stringify(request.tools.map(({ function: tool, type }) => ({ type, name: tool?.name })))
    })
  }
}

const responseAttributes = ({ choices, id, model }: ChatCompletion, { recordContent }: Telemetry.TelemetryOptions) => ({
  "gen_ai.response.id": id,
  "gen_ai.response.model": model,
  "gen_ai.response.finish_reasons": choices.map((choice) => choice.finish_reason ?? "error"),
  "gen_ai.output.messages": recordContent === true ? JSON.stringify(choices.map(({ message }) => toMessage(message))) : undefined
})

const serverOf = (url: URL) => ({
  "server.address": url.hostname,
  "server.port": Number(url.port || (url.protocol === "https:" ? 443 : 80))
})

const errorType = (exit: Exit.Exit<unknown, { readonly reason: { readonly _tag: string } }>): string | undefined => {
  if (Exit.isSuccess(exit)) return undefined
  const [reason] = exit.cause.reasons
  return reason?._tag === "Fail" ? reason.error.reason._tag : reason?._tag === "Interrupt" ? "interrupted" : "_OTHER"
}

// `References.CurrentLoggers` by its key, without its default loggers: they would add 1.9 KB (gzipped) to a page.
const CurrentLoggers = Context.Reference<ReadonlySet<Pick<Logger<unknown, unknown>, "log">>>("effect/Logger/CurrentLoggers", {
  defaultValue: () => new Set([{ log: ({ fiber, message }) => console.debug(`DEBUG (#${fiber.id}): ${String(message)}`) }])
})

/** The observation of one call. Records nothing after its end. */
export class Observation {
  /** The span of the call. `undefined` if the application provides no tracer. */
  readonly span: Span | undefined
  readonly #fiber: Fiber.Fiber<unknown, unknown>
  readonly #clock: Clock.Clock
  readonly #context: Context.Context<never>
  readonly #options: Telemetry.TelemetryOptions
  readonly #startTime: bigint
  #attributes: Attributes
  #timePerChunk: Histogram<number> | undefined
  #lastRead = 0
  #isEnded = false

  constructor(
    fiber: Fiber.Fiber<unknown, unknown>,
    request: ChatCompletionRequest,
    url: URL,
    options: Telemetry.TelemetryOptions,
    isStream: boolean
  ) {
    const names = { "gen_ai.operation.name": "chat", "gen_ai.provider.name": "paradigm", "gen_ai.request.model": request.model }
    const server = serverOf(url)
    this.#fiber = fiber
    this.#clock = fiber.getRef(Clock.Clock)
    this.#context = fiber.context
    this.#options = options
    this.#attributes = { ...names, ...server, "server.port": String(server["server.port"]) }
    this.span = openSpan(fiber, `chat ${request.model}`, { ...names, ...server })
    if (this.span !== undefined) setAttributes(this.span, requestAttributes(request, isStream, options))
    // The start of the span if it has one: the convention gives the span and the metric one duration.
    this.#startTime = this.span?.status.startTime || this.#clock.currentTimeNanosUnsafe()
  }

  /** Runs an effect below the span of the call. */
  run<A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return this.span === undefined ? effect : Effect.provideService(effect, ParentSpan, this.span)
  }

  /** Records the arrival of the chunks of one network read. */
  chunks(chunks: ReadonlyArray<ChatCompletionChunk>): void {
    const now = this.#clock.currentTimeMillisUnsafe()
    if (this.#timePerChunk === undefined) {
      this.#setModel(chunks[0]?.model)
      const seconds = this.#secondsUntil(this.#clock.currentTimeNanosUnsafe())
      this.span?.attribute("gen_ai.response.time_to_first_chunk", seconds)
      durationsWith(Telemetry.timeToFirstChunk, this.#attributes).updateUnsafe(seconds, this.#context)
      this.#timePerChunk = durationsWith(Telemetry.timePerOutputChunk, this.#attributes)
    } else {
      this.#timePerChunk.updateUnsafe((now - this.#lastRead) / 1000, this.#context)
    }
    this.#lastRead = now
  }

  /** Ends the observation with what arrived of the completion, and with the anomalies that were repaired. */
  end(
    exit: Exit.Exit<unknown, ParadigmError>,
    completion: ChatCompletion | undefined,
    repaired: ReadonlyArray<Anomaly & { readonly count?: number | undefined }> = []
  ): Effect.Effect<void> {
    return Effect.sync(() => {
      if (this.#isEnded) return
      this.#isEnded = true
      const { span } = this
      const now = this.#clock.currentTimeNanosUnsafe()
      this.#setModel(completion?.model)
      if (completion !== undefined && span !== undefined) setAttributes(span, responseAttributes(completion, this.#options))
      const tokens = { ...this.#attributes, "gen_ai.token.modality": "unknown" }
      for (const [metric, attribute, value] of usageOf(completion?.usage)) {
        setAttributes(span, { [attribute]: value })
        counterWith(metric, tokens).updateUnsafe(BigInt(value ?? 0), this.#context)
      }
      for (const anomaly of repaired) this.#report(anomaly, now)
      const type = errorType(exit)
      setAttributes(span, { "error.type": type })
      span?.end(now, exit)
      const attributes = type === undefined ? this.#attributes : { ...this.#attributes, "error.type": type }
      durationsWith(Telemetry.inferenceDuration, attributes).updateUnsafe(this.#secondsUntil(now), this.#context)
    })
  }

  #report({ count = 1, expected, path, raw, repair }: Anomaly & { readonly count?: number | undefined }, now: bigint): void {
    const name = { "paradigm.anomaly.repair": repair }
    counterWith(Telemetry.anomalies, { ...this.#attributes, ...name }).updateUnsafe(BigInt(count), this.#context)
    // What the server sent may quote the conversation.
    const content = this.#options.recordContent === true ? { "paradigm.anomaly.raw": raw } : {}
    const attributes = { ...name, "paradigm.anomaly.path": path, "paradigm.anomaly.expected": expected, "paradigm.anomaly.count": count }
    this.span?.event("paradigm.anomaly", now, { ...attributes, ...content })
    if (!/^(All|Trace|Debug)$/.test(Context.get(this.#context, MinimumLogLevel))) return
    const fiber = this.#fiber
    const message = `Repaired the response at ${path}: expected ${expected} (${repair}, ${count} times)`
    const date = new Date(this.#clock.currentTimeMillisUnsafe())
    for (const logger of Context.get(this.#context, CurrentLoggers))
      logger.log({ cause: Cause.empty, date, fiber, logLevel: "Debug", message })
  }

  #secondsUntil(now: bigint): number {
    return Number(now - this.#startTime) / 1e9
  }

  #setModel(model: string | undefined): void {
    if (model) this.#attributes = { ...this.#attributes, "gen_ai.response.model": model }
  }
}

/** Begins the observation of a call. `isStream` is `true` if the response is a stream. */
export const observe = (
  request: ChatCompletionRequest,
  url: URL,
  options: Telemetry.TelemetryOptions,
  isStream: boolean
): Effect.Effect<Observation> => Effect.withFiberSucceed((fiber) => new Observation(fiber, request, url, options, isStream))

/**
 * Runs one HTTP request in a span, up to the headers of its response. `evaluate` gets the trace headers to send: none unless `propagate` is
 * `true` and the request belongs to a trace.
 */
export const httpSpan = <A extends { readonly status: number }, E extends { readonly reason: { readonly _tag: string } }, R>(
  url: URL,
  propagate: boolean,
  evaluate: (trace: Readonly<Record<string, string>>) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.withFiber((fiber) => {
    // Without the query: it may hold credentials.
    const attributes = { "http.request.method": "POST", "url.full": url.origin + url.pathname, ...serverOf(url) }
    const span = openSpan(fiber, "POST", attributes)
    const request = evaluate(propagate ? traceHeaders(fiber, span) : {})
    if (span === undefined) return request
    return Effect.onExit(request, (exit) =>
      Effect.sync(() => {
        const status = Exit.isSuccess(exit) ? exit.value.status : undefined
        const isRefused = status !== undefined && status >= 400
        setAttributes(span, {
          "http.response.status_code": status,
          "error.type": isRefused ? String(status) : errorType(exit)
        })
        span.end(fiber.getRef(Clock.Clock).currentTimeNanosUnsafe(), isRefused ? Exit.fail(`HTTP status ${status}`) : exit)
      })
    )
  })
