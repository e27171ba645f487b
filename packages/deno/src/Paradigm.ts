/**
 * Paradigm's chat completions in Deno, over its fetch. It needs `--allow-net` for the endpoint's host, and nothing else.
 *
 * @since 0.1.0
 */
import * as ParadigmClient from "@paradigm-effect/core/ParadigmClient"
import type { ParadigmError } from "@paradigm-effect/core/ParadigmError"
import * as ParadigmConfig from "@paradigm-effect/core/ParadigmConfig"
import * as ParadigmPromise from "@paradigm-effect/core/ParadigmPromise"
import * as Telemetry from "@paradigm-effect/core/Telemetry"
import * as Transport from "@paradigm-effect/core/Transport"
import * as Layer from "effect/Layer"

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
export { type Options, ParadigmClient as Client } from "@paradigm-effect/core/ParadigmClient"
export { isParadigmError as isError, ParadigmError as Error } from "@paradigm-effect/core/ParadigmError"

const transport = /* @__PURE__ */ Transport.fromFetch({ redirect: "manual" })

const make = (options: ParadigmClient.Options) =>
  ParadigmClient.makeWith(transport, { ...options, telemetry: options.telemetry ?? Telemetry.make() })

/**
 * The client. Fails with `InvalidConfiguration`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: ParadigmClient.Options): Layer.Layer<ParadigmClient.ParadigmClient, ParadigmError> =>
  Layer.effect(ParadigmClient.ParadigmClient, make(options))

/**
 * The same from the environment: `PARADIGM_API_KEY`, `PARADIGM_BASE_URL` (`--allow-env` for these two).
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
export const connect = (options: ParadigmClient.Options): ParadigmPromise.ParadigmPromise => ParadigmPromise.make(layer(options))
