/** A report of calls by Effect's tracer and metrics. Programs without Effect have none. */
export interface Telemetry {
  readonly observe: (...parameters: ReadonlyArray<never>) => unknown
  readonly httpSpan: (...parameters: ReadonlyArray<never>) => unknown
}
