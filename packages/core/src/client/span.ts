// Spans of the tracer that the application provides. Without a tracer there is no span: `Effect.makeSpan` would make one that nobody reads, and its
// native tracer adds 1.4 KB (gzipped) to a page.
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import type * as Fiber from "effect/Fiber"
import * as LogLevel from "effect/LogLevel"
import * as Option from "effect/Option"
import * as References from "effect/References"
import * as Tracer from "effect/Tracer"

type Attributes = Readonly<Record<string, unknown>>
type AnyFiber = Fiber.Fiber<unknown, unknown>

/** Whether the application asks for log lines of the level Debug. */
export const isDebugEnabled = (context: Context.Context<never>): boolean =>
  !LogLevel.isGreaterThan(Context.get(context, References.MinimumLogLevel), "Debug")

/** Sets the attributes that have a value. */
export const setAttributes = (span: Tracer.Span | undefined, attributes: Attributes): void => {
  if (span === undefined) return
  for (const key in attributes) {
    const value = attributes[key]
    if (value !== undefined && value !== null) span.attribute(key, value)
  }
}

const parentOf = (span: Tracer.AnySpan): Tracer.AnySpan | undefined =>
  span._tag === "Span" ? Option.getOrUndefined(span.parent) : undefined

/** Begins a span of kind client below the current span, as `Effect.makeSpan` does. `undefined` if the application traces nothing. */
export const openSpan = (fiber: AnyFiber, name: string, attributes: Attributes): Tracer.Span | undefined => {
  const { tracer, tracerEnabled } = fiber.cache
  if (tracer === undefined || !tracerEnabled) return undefined
  let parent = fiber.cache.span
  while (parent !== undefined && Context.get(parent.annotations, Tracer.DisablePropagation)) parent = parentOf(parent)
  const span = tracer.span({
    name,
    kind: "client",
    root: false,
    parent: Option.fromUndefinedOr(parent),
    annotations: Context.empty(),
    links: [...fiber.getRef(References.TracerSpanLinks)],
    startTime: fiber.getRef(References.TracerTimingEnabled) ? fiber.getRef(Clock.Clock).currentTimeNanosUnsafe() : 0n,
    sampled:
      parent?.sampled !== false && !LogLevel.isGreaterThan(fiber.getRef(Tracer.MinimumTraceLevel), fiber.getRef(Tracer.CurrentTraceLevel))
  })
  setAttributes(span, fiber.getRef(References.TracerSpanAnnotations))
  setAttributes(span, attributes)
  return span
}

/** The trace headers of a request: those of its span, or of the trace that the application continues without recording spans itself. */
export const traceHeaders = (fiber: AnyFiber, span: Tracer.Span | undefined): Readonly<Record<string, string>> => {
  let from: Tracer.AnySpan | undefined = span
  // Effect makes up the ids of spans that no tracer records.
  if (span === undefined) for (from = fiber.cache.span; from?._tag === "Span";) from = parentOf(from)
  if (from === undefined) return {}
  const traceparent = `00-${from.traceId.padStart(32, "0")}-${from.spanId}-0${from.sampled ? 1 : 0}`
  return /^00-(?!0{32})[\da-f]{32}-(?!0{16})[\da-f]{16}-0\d$/.test(traceparent) ? { traceparent } : {}
}
