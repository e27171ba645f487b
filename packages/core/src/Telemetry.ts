/**
 * What a call tells OpenTelemetry: one span, with the attributes and metrics of the `gen_ai` conventions, and below it one for each attempt, with
 * those of the `http` conventions. Conversations are never recorded unless that was asked for.
 *
 * Source: https://opentelemetry.io/docs/specs/semconv/gen-ai/, https://opentelemetry.io/docs/specs/semconv/http/http-spans/
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Metric from "effect/Metric"
import type { Span } from "effect/Tracer"
import type { ChatCompletion, ChatCompletionRequest } from "./ChatCompletion.ts"
import type { ParadigmError } from "./ParadigmError.ts"

/**
 * What may leave the process, or enter a span, beyond names and numbers.
 *
 * @category options
 * @since 0.1.0
 */
export interface TelemetryOptions {
  /** Whether to send `traceparent` to the endpoint. A browser then needs the server's leave. False by default. */
  readonly propagateTrace?: boolean | undefined
  /** Whether to record the conversation in the span. False by default. */
  readonly recordContent?: boolean | undefined
}

const seconds = Metric.boundariesFromIterable([0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92])

/**
 * Seconds that calls took, by model and outcome.
 *
 * @category metrics
 * @since 0.1.0
 */
export const operationDuration = Metric.histogram("gen_ai.client.operation.duration", {
  description: "Duration of a call in seconds",
  boundaries: seconds
})

/**
 * Seconds from the call to the first chunk of its stream, by model.
 *
 * @category metrics
 * @since 0.1.0
 */
export const timeToFirstChunk = Metric.histogram("gen_ai.client.operation.time_to_first_chunk", {
  description: "Time to the first chunk of a stream in seconds",
  boundaries: seconds
})

/**
 * Tokens of a call, by model and type (`input` or `output`).
 *
 * @category metrics
 * @since 0.1.0
 */
export const tokenUsage = Metric.histogram("gen_ai.client.token.usage", {
  description: "Tokens of a call",
  boundaries: Metric.boundariesFromIterable([1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576])
})

/** One call under observation. */
export interface Observation {
  readonly span: Span
  /** The first chunk has come. */
  readonly firstChunk: Effect.Effect<void>
  /** The call is over, with what had arrived. */
  readonly end: (exit: Exit.Exit<unknown, ParadigmError>, completion: ChatCompletion | undefined) => Effect.Effect<void>
}

const present = (attributes: Readonly<Record<string, unknown>>) =>
  Object.fromEntries(Object.entries(attributes).filter(([, value]) => value !== undefined && value !== null))

const serverAttributes = (url: URL) => ({
  "server.address": url.hostname,
  "server.port": Number(url.port || (url.protocol === "https:" ? 443 : 80))
})

const requestAttributes = (request: ChatCompletionRequest, url: URL, options: TelemetryOptions) =>
  present({
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "paradigm",
    "gen_ai.request.model": request.model,
    "gen_ai.request.max_tokens": request.max_completion_tokens ?? request.max_tokens,
    "gen_ai.request.temperature": request.temperature,
    "gen_ai.request.top_p": request.top_p,
    "gen_ai.request.frequency_penalty": request.frequency_penalty,
    "gen_ai.request.presence_penalty": request.presence_penalty,
    "gen_ai.request.stop_sequences": request.stop,
    "gen_ai.request.choice.count": request.n,
    "gen_ai.input.messages": options.recordContent === true ? JSON.stringify(request.messages) : undefined,
    ...serverAttributes(url)
  })

const responseAttributes = (completion: ChatCompletion, options: TelemetryOptions) =>
  present({
    "gen_ai.response.id": completion.id,
    "gen_ai.response.model": completion.model,
    "gen_ai.response.finish_reasons": completion.choices.map((choice) => choice.finish_reason ?? "unfinished"),
    "gen_ai.usage.input_tokens": completion.usage?.prompt_tokens,
    "gen_ai.usage.output_tokens": completion.usage?.completion_tokens,
    "gen_ai.output.messages":
      options.recordContent === true ? JSON.stringify(completion.choices.map((choice) => choice.message)) : undefined
  })

/** Begins to observe a call. */
export const observe = Effect.fnUntraced(function* (
  request: ChatCompletionRequest,
  url: URL,
  options: TelemetryOptions
): Effect.fn.Return<Observation> {
  const clock = yield* Clock.Clock
  const startedAt = clock.currentTimeMillisUnsafe()
  const span = yield* Effect.makeSpan(`chat ${request.model}`, { kind: "client", attributes: requestAttributes(request, url, options) })
  const tags = { "gen_ai.operation.name": "chat", "gen_ai.request.model": request.model }
  const elapsed = () => (clock.currentTimeMillisUnsafe() - startedAt) / 1000
  const record = (metric: Metric.Metric<number, unknown>, value: number, more: Readonly<Record<string, string>> = {}) =>
    Metric.update(Metric.withAttributes(metric, { ...tags, ...more }), value)
  return {
    span,
    firstChunk: Effect.suspend(() => record(timeToFirstChunk, elapsed())),
    end: Effect.fnUntraced(function* (exit, completion) {
      if (completion !== undefined) {
        for (const [key, value] of Object.entries(responseAttributes(completion, options))) span.attribute(key, value)
      }
      const error = Exit.isFailure(exit) ? exit.cause.reasons.find((reason) => reason._tag === "Fail")?.error : undefined
      const failed = error === undefined ? (Exit.isFailure(exit) ? "interrupted" : undefined) : error.reason._tag
      if (failed !== undefined) span.attribute("error.type", failed)
      if (error?.status !== undefined) span.attribute("http.response.status_code", error.status)
      span.end(clock.currentTimeNanosUnsafe(), exit)
      yield* record(operationDuration, elapsed(), failed === undefined ? {} : { "error.type": failed })
      if (completion?.usage === undefined || completion.usage === null) return
      yield* record(tokenUsage, completion.usage.prompt_tokens, { "gen_ai.token.type": "input" })
      yield* record(tokenUsage, completion.usage.completion_tokens, { "gen_ai.token.type": "output" })
    })
  }
})

/** Observes one attempt, up to the headers of its response. It is given the headers that continue the trace, where they are to be sent. */
export const attempt = <A extends { readonly status: number }, E, R>(
  url: URL,
  propagate: boolean,
  evaluate: (trace: Readonly<Record<string, string>>) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.useSpan(
    "POST",
    // Without the query: it may hold what a proxy asks for.
    { kind: "client", attributes: { "http.request.method": "POST", "url.full": url.origin + url.pathname, ...serverAttributes(url) } },
    (span) =>
      Effect.flatMap(
        evaluate(propagate ? { traceparent: `00-${span.traceId.padStart(32, "0")}-${span.spanId}-0${span.sampled ? 1 : 0}` } : {}),
        (response) =>
          Effect.map(Clock.currentTimeNanos, (now) => {
            const { status } = response
            span.attribute("http.response.status_code", status)
            if (status >= 400) {
              span.attribute("error.type", String(status))
              span.end(now, Exit.fail(`HTTP status ${status}`))
            }
            return response
          })
      )
  )
