/** A report of calls: spans of the application's OpenTelemetry, if it registered one. */
export interface Telemetry {
  readonly observe: (...parameters: ReadonlyArray<never>) => unknown
  readonly httpSpan: (...parameters: ReadonlyArray<never>) => unknown
}
/** Content of spans and headers beyond names and numbers. */
export interface TelemetryOptions {
  /** Whether to send the `traceparent` header if the call has a trace. Defaults to `true`. */
  readonly propagateTrace?: boolean | undefined
  /** Whether to record messages and tool names in the span. They may hold personal data. Defaults to `false`. */
  readonly recordContent?: boolean | undefined
}
/** Reports calls by the OpenTelemetry conventions, to the tracer that the application registered with `@opentelemetry/api`. */
export declare const make: (options?: TelemetryOptions) => Telemetry
