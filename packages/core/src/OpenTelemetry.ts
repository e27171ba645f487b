/**
 * Spans of the client with promises, in the application's OpenTelemetry.
 *
 * **Details**
 *
 * `@opentelemetry/api` keeps what the application registers in a global, so that its copies work together. This module reads the global and imports
 * nothing: it works in bundles, with any copy of the API from version 1.0, and in Deno, whose own OpenTelemetry sets the global.
 *
 * Source: https://github.com/open-telemetry/opentelemetry-js/blob/main/api/src/internal/global-utils.ts
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Tracer from "effect/Tracer"
import { PropagateTrace } from "./client/span.ts"
import { version } from "./client/version.ts"

// The parts of the API that are used. Times are seconds and nanoseconds.
type Time = readonly [seconds: number, nanos: number]
type Attribute = string | number | boolean | ReadonlyArray<unknown>

interface ApiSpan {
  spanContext(): { readonly traceId: string; readonly spanId: string; readonly traceFlags: number }
  setAttribute(name: string, value: Attribute): unknown
  addEvent(name: string, attributes: Readonly<Record<string, Attribute>>, time: Time): unknown
  setStatus(status: { readonly code: number; readonly message?: string | undefined }): unknown
  end(time: Time): void
}

interface ApiContext {
  getValue(key: symbol): unknown
  setValue(key: symbol, value: unknown): ApiContext
  deleteValue(key: symbol): ApiContext
}

interface Api {
  readonly trace?: {
    getTracer(
      name: string,
      version: string
    ): { startSpan(name: string, options: { readonly kind: number; readonly startTime: Time }, context: ApiContext): ApiSpan }
  }
  readonly context?: {
    active(): ApiContext
    with<A>(context: ApiContext, run: () => A): A
  }
}

// Version 2 of the API would have another name.
const apiKey = Symbol.for("opentelemetry.js.api.1")
const spanKey = Symbol.for("OpenTelemetry Context Key SPAN")
const suppressKey = Symbol.for("OpenTelemetry SDK Context Key SUPPRESS_TRACING")

// By Effect's names of kinds.
const kinds: Readonly<Record<Tracer.SpanKind, number>> = { internal: 0, server: 1, client: 2, producer: 3, consumer: 4 }

const errorStatus = 2

// The root of an application without a context manager.
class RootContext implements ApiContext {
  readonly #values: ReadonlyMap<symbol, unknown>

  constructor(values: ReadonlyMap<symbol, unknown> = new Map()) {
    this.#values = values
  }

  getValue(key: symbol): unknown {
    return this.#values.get(key)
  }

  setValue(key: symbol, value: unknown): ApiContext {
    return new RootContext(new Map([...this.#values, [key, value]]))
  }

  deleteValue(key: symbol): ApiContext {
    return new RootContext(new Map([...this.#values].filter(([other]) => other !== key)))
  }
}

const toTime = (nanos: bigint): Time => [Number(nanos / 1_000_000_000n), Number(nanos % 1_000_000_000n)]

const toAttribute = (value: unknown): Attribute =>
  typeof value === "string" || typeof value === "number" || typeof value === "boolean" || Array.isArray(value) ? value : String(value)

const toAttributes = (values: Readonly<Record<string, unknown>>) =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [name, toAttribute(value)]))

const messageOf = (cause: Cause.Cause<unknown>): string | undefined => {
  if (Cause.hasInterruptsOnly(cause)) return undefined
  const error = Cause.squash(cause)
  return error instanceof Error ? error.message : String(error)
}

type SpanOptions = Parameters<Tracer.Tracer["span"]>[0]

/** A span of Effect that reports to one of the API. */
class CallSpan implements Tracer.Span {
  readonly _tag = "Span"
  readonly name: string
  readonly spanId: string
  readonly traceId: string
  readonly sampled: boolean
  readonly kind: Tracer.SpanKind
  readonly parent: Option.Option<Tracer.AnySpan>
  readonly annotations: Context.Context<never>
  readonly attributes = new Map<string, unknown>()
  readonly links: Array<Tracer.SpanLink>
  status: Tracer.SpanStatus
  /** The context of the work in the span. */
  readonly context: ApiContext
  readonly #span: ApiSpan

  constructor(options: SpanOptions, span: ApiSpan, context: ApiContext) {
    const { spanId, traceFlags, traceId } = span.spanContext()
    this.spanId = spanId
    this.traceId = traceId
    this.sampled = (traceFlags & 1) === 1
    this.name = options.name
    this.kind = options.kind
    this.parent = options.parent
    this.annotations = options.annotations
    this.links = options.links
    this.status = { _tag: "Started", startTime: options.startTime }
    this.context = context.setValue(spanKey, span)
    this.#span = span
  }

  attribute(key: string, value: unknown): void {
    this.attributes.set(key, value)
    this.#span.setAttribute(key, toAttribute(value))
  }

  event(name: string, time: bigint, attributes: Readonly<Record<string, unknown>> = {}): void {
    this.#span.addEvent(name, toAttributes(attributes), toTime(time))
  }

  // The client has no links.
  addLinks(links: ReadonlyArray<Tracer.SpanLink>): void {
    this.links.push(...links)
  }

  end(endTime: bigint, exit: Exit.Exit<unknown, unknown>): void {
    this.status = { _tag: "Ended", startTime: this.status.startTime, endTime, exit }
    if (exit._tag === "Failure") this.#span.setStatus({ code: errorStatus, message: messageOf(exit.cause) })
    this.#span.end(toTime(endTime))
  }
}

/** The tracer of one call. */
class CallTracer implements Tracer.Tracer {
  readonly #api: Api
  readonly #active: ApiContext

  constructor(api: Api) {
    this.#api = api
    this.#active = api.context?.active() ?? new RootContext()
  }

  span(options: SpanOptions): Tracer.Span {
    const parent = Option.getOrUndefined(options.parent)
    const context = parent instanceof CallSpan ? parent.context : this.#active
    const { kind, name, startTime } = options
    const tracer = this.#api.trace?.getTracer("@paradigm-effect", version)
    const span = tracer?.startSpan(name, { kind: kinds[kind], startTime: toTime(startTime) }, context)
    return span === undefined ? new Tracer.NativeSpan(options) : new CallSpan(options, span, context)
  }

  // The instrumentation of `fetch` or undici would add a second span and a second header `traceparent` to each request.
  // Effect calls it as a function.
  readonly context = <X>(primitive: Tracer.EffectPrimitive<X>, fiber: Parameters<NonNullable<Tracer.Tracer["context"]>>[1]): X => {
    const { span } = fiber.cache
    const run = () => primitive["~effect/Effect/evaluate"](fiber)
    if (!(span instanceof CallSpan) || this.#api.context === undefined) return run()
    return this.#api.context.with(span.context.setValue(suppressKey, true), run)
  }
}

/**
 * Gives a call the tracer of the application's OpenTelemetry: its spans are children of the span that is active now. Requests have the header
 * `traceparent`. Returns the effect unchanged if the application has registered no tracer provider.
 *
 * @example
 * ```ts
 * import * as OpenTelemetry from "@paradigm-effect/core/OpenTelemetry"
 * import { Effect } from "effect"
 *
 * const program = OpenTelemetry.provide(Effect.succeed("Hello!"))
 * console.log(await Effect.runPromise(program)) // => Hello!
 * ```
 *
 * @category tracing
 * @since 0.1.0
 */
export const provide = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> => {
  const api = (globalThis as { readonly [apiKey]?: Api })[apiKey]
  if (api?.trace === undefined) return effect
  return Effect.provideService(Effect.provideService(effect, Tracer.Tracer, new CallTracer(api)), PropagateTrace, true)
}
