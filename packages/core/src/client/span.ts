// Spans of the tracer that the application provides.
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { AnySpan, Span } from "effect/Tracer"

type Attributes = Readonly<Record<string, unknown>>

/** The default of the option `propagateTrace`. */
export const PropagateTrace = /* @__PURE__ */ Context.Reference<boolean>("@paradigm-effect/core/PropagateTrace", {
  defaultValue: () => false
})

/** Sets the attributes that have a value. */
export const setAttributes = (span: Span | undefined, attributes: Attributes): void => {
  if (span === undefined) return
  for (const key in attributes) {
    const value = attributes[key]
    if (value !== undefined && value !== null) span.attribute(key, value)
  }
}

/** Begins a span of kind client. Returns `undefined` without a tracer, because Effect's default spans are not exported. */
export const openSpan = (name: string, attributes: Attributes): Effect.Effect<Span | undefined> =>
  Effect.withFiber(({ cache: { tracer, tracerEnabled } }) =>
    tracer === undefined || !tracerEnabled ? Effect.undefined : Effect.makeSpan(name, { kind: "client", attributes })
  )

/** The trace headers of a request: those of its span, or of the trace that the application continues without a tracer. */
export const traceHeaders = (span: Span | undefined): Effect.Effect<Readonly<Record<string, string>>> =>
  Effect.withFiberSucceed((fiber): Readonly<Record<string, string>> => {
    let from: AnySpan | undefined = span
    // Without a tracer, Effect generates span ids that no exporter knows.
    if (span === undefined) for (from = fiber.cache.span; from?._tag === "Span";) from = Option.getOrUndefined(from.parent)
    if (from === undefined) return {}
    const traceparent = `00-${from.traceId.padStart(32, "0")}-${from.spanId}-0${from.sampled ? 1 : 0}`
    return /^00-(?!0{32})[\da-f]{32}-(?!0{16})[\da-f]{16}-0\d$/.test(traceparent) ? { traceparent } : {}
  })
