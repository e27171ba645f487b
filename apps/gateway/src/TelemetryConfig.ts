/**
 * Where telemetry is sent: the configuration file, and the environment variables of OpenTelemetry.
 */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { ConfigFile } from "./ConfigFile.ts"

/** How telemetry is sent over OTLP. */
export interface TelemetryConfig {
  /** URL of the collector; `undefined` if the environment has one for each signal. */
  readonly endpoint: string | undefined
  readonly protocol: "http/protobuf" | "http/json"
}

const readOtlp = (name: string) => Effect.map(Effect.option(Config.String(`OTEL_EXPORTER_OTLP_${name}`)), Option.getOrUndefined)

/** Reads the settings. OpenTelemetry's variables win over the file. */
export const readTelemetry = Effect.fnUntraced(function* (
  file: typeof ConfigFile.Type.telemetry
): Effect.fn.Return<TelemetryConfig | undefined> {
  const endpoints = [
    yield* readOtlp("ENDPOINT"),
    yield* readOtlp("TRACES_ENDPOINT"),
    yield* readOtlp("METRICS_ENDPOINT"),
    yield* readOtlp("LOGS_ENDPOINT"),
    file?.endpoint
  ]
  if (endpoints.every((endpoint) => endpoint === undefined || endpoint === "")) return undefined
  const protocol = (yield* readOtlp("PROTOCOL")) ?? file?.protocol
  return { endpoint: file?.endpoint, protocol: protocol === "http/json" ? "http/json" : "http/protobuf" }
})
