/**
 * The spans of a request: one of the server, and one of the client for each attempt at a replica, whose context goes to the model server.
 */
import * as Context from "effect/Context"
import * as Exit from "effect/Exit"
import * as HttpTraceContext from "effect/http/HttpTraceContext"
import * as Option from "effect/Option"
import * as Tracer from "effect/Tracer"
import type { IncomingHttpHeaders } from "node:http"

/** Attributes of a span, by the names of OpenTelemetry's conventions. Attributes that are `undefined` are left out. */
export type SpanAttributes = Readonly<Record<string, string | number | boolean | undefined>>

const now = () => BigInt(Math.round((performance.timeOrigin + performance.now()) * 1000)) * 1000n

const annotate = (span: Tracer.Span, attributes: SpanAttributes) => {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined) span.attribute(name, value)
  }
}

const exitOf = (error: string | undefined) => (error === undefined ? Exit.void : Exit.fail(new Error(error)))

/** The spans of one request. */
export class RequestTrace {
  readonly #tracer: Tracer.Tracer
  readonly #server: Tracer.Span
  #attempt: Tracer.Span | undefined

  /** Begins the server's span, below that of the caller's `traceparent`. Without one, the trace is sampled. */
  constructor(tracer: Tracer.Tracer, method: string, headers: IncomingHttpHeaders) {
    const { traceparent } = headers
    const parent = typeof traceparent === "string" ? HttpTraceContext.w3c({ traceparent } as never) : Option.none()
    this.#tracer = tracer
    this.#server = this.#span(method, "server", parent)
  }

  get traceId(): string {
    return this.#server.traceId
  }

  get spanId(): string {
    return this.#server.spanId
  }

  #span(name: string, kind: Tracer.SpanKind, parent: Option.Option<Tracer.AnySpan>): Tracer.Span {
    const sampled = Option.isNone(parent) || parent.value.sampled
    return this.#tracer.span({
      name,
      kind,
      parent,
      sampled,
      root: Option.isNone(parent),
      annotations: Context.empty(),
      links: [],
      startTime: now()
    })
  }

  /** Begins the span of an attempt. Returns the headers for the model server. */
  attempt(origin: string): Readonly<Record<string, string>> {
    this.attemptEnded(undefined, {})
    const { hostname, port } = new URL(origin)
    const span = this.#span("chat", "client", Option.some(this.#server))
    annotate(span, { "gen_ai.operation.name": "chat", "server.address": hostname, "server.port": Number(port) || undefined })
    this.#attempt = span
    return { traceparent: `00-${span.traceId}-${span.spanId}-${span.sampled ? "01" : "00"}` }
  }

  /** Ends the span of the attempt, with why it failed. */
  attemptEnded(error: string | undefined, attributes: SpanAttributes): void {
    const span = this.#attempt
    if (span === undefined) return
    this.#attempt = undefined
    annotate(span, { ...attributes, "error.type": error })
    span.end(now(), exitOf(error))
  }

  /** Ends all spans. */
  end(error: string | undefined, attributes: SpanAttributes): void {
    annotate(this.#server, attributes)
    this.#server.end(now(), exitOf(error))
  }
}
