/**
 * Paradigm's chat completions in Node, over undici.
 *
 * @since 0.1.0
 */
import * as ParadigmClient from "@paradigm-effect/core/ParadigmClient"
import type { ParadigmError } from "@paradigm-effect/core/ParadigmError"
import * as ParadigmConfig from "@paradigm-effect/core/ParadigmConfig"
import * as ParadigmPromise from "@paradigm-effect/core/ParadigmPromise"
import * as Telemetry from "@paradigm-effect/core/Telemetry"
import * as Timeouts from "@paradigm-effect/core/Timeouts"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Dispatcher from "./internal/dispatcher.ts"
import type { ConnectionOptions } from "./internal/dispatcher.ts"
import * as UndiciTransport from "./internal/UndiciTransport.ts"

// The names of every type that a function below returns, for the declaration files of its callers.
export type * from "@paradigm-effect/core/Anomaly"
export type * from "@paradigm-effect/core/ChatCompletion"
export type {
  CallOptions,
  CompletionResponse,
  ParadigmClient,
  ResponseInfo,
  Service,
  StreamResponse
} from "@paradigm-effect/core/ParadigmClient"
export type * from "@paradigm-effect/core/ParadigmError"
export type { CallPromise, ChunkStream, Completions, ParadigmPromise, PromiseCallOptions } from "@paradigm-effect/core/ParadigmPromise"
export { ParadigmClient as Client } from "@paradigm-effect/core/ParadigmClient"
export type { ConnectionOptions, Pem } from "./internal/dispatcher.ts"
export { isParadigmError as isError, ParadigmError as Error } from "@paradigm-effect/core/ParadigmError"

/**
 * Client options.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options extends ParadigmClient.Options, ConnectionOptions {}

const make = Effect.fnUntraced(function* (options: Options) {
  const transport = UndiciTransport.make(yield* Dispatcher.make(options, Timeouts.limits(options.timeouts).connect))
  return yield* ParadigmClient.makeWith(transport, { ...options, telemetry: options.telemetry ?? Telemetry.make() })
})

/**
 * The client, with a connection pool of its own. Fails with `InvalidConfiguration`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<ParadigmClient.ParadigmClient, ParadigmError> =>
  Layer.effect(ParadigmClient.ParadigmClient, make(options))

/**
 * The same from the environment: `PARADIGM_API_KEY`, `PARADIGM_BASE_URL`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig: Layer.Layer<ParadigmClient.ParadigmClient, ParadigmError> = /* @__PURE__ */ ParadigmConfig.layerOf(make)

/**
 * The client for people without Effect: promises and async iterables.
 *
 * @category constructors
 * @since 0.1.0
 */
export const connect = (options: Options): ParadigmPromise.ParadigmPromise => ParadigmPromise.make(layer(options))
