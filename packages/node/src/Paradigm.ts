/**
 * Paradigm's chat completions in Node, over undici.
 *
 * @since 0.1.0
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as ParadigmClient from "@paradigm-effect/core/ParadigmClient"
import type { ParadigmError } from "@paradigm-effect/core/ParadigmError"
import * as ParadigmConfig from "@paradigm-effect/core/ParadigmConfig"
import * as ParadigmPromise from "@paradigm-effect/core/ParadigmPromise"
import * as Timeouts from "@paradigm-effect/core/Timeouts"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import { withDecompression } from "./internal/decompression.ts"

// The names of every type that a function below returns, for the declaration files of its callers.
export type * from "@paradigm-effect/core/Anomaly"
export type * from "@paradigm-effect/core/ChatCompletion"
export type { CallOptions, ParadigmClient, ResponseInfo } from "@paradigm-effect/core/ParadigmClient"
export type * from "@paradigm-effect/core/ParadigmError"
export type { CallPromise, ChunkStream, ParadigmPromise, PromiseCallOptions } from "@paradigm-effect/core/ParadigmPromise"
export { type Options, ParadigmClient as Client } from "@paradigm-effect/core/ParadigmClient"
export { isParadigmError as isError, ParadigmError as Error } from "@paradigm-effect/core/ParadigmError"

const http = (options: Pick<ParadigmClient.Options, "timeouts">): Layer.Layer<HttpClient.HttpClient> =>
  Layer.effect(HttpClient.HttpClient, Effect.map(HttpClient.HttpClient, withDecompression)).pipe(
    Layer.provide(NodeHttpClient.layerUndiciOptions({ connect: { timeout: Timeouts.limits(options.timeouts).connect } }))
  )

/**
 * The client, with a connection pool of its own. Fails with `InvalidConfiguration`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: ParadigmClient.Options): Layer.Layer<ParadigmClient.ParadigmClient, ParadigmError> =>
  Layer.provide(ParadigmClient.layer(options), http(options))

/**
 * The same from the environment: `PARADIGM_API_KEY`, `PARADIGM_BASE_URL`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig: Layer.Layer<ParadigmClient.ParadigmClient, ParadigmError> = /* @__PURE__ */ Layer.provide(
  ParadigmConfig.layer,
  http({})
)

/**
 * The client for people without Effect: promises and async iterables.
 *
 * @category constructors
 * @since 0.1.0
 */
export const connect = (options: ParadigmClient.Options): ParadigmPromise.ParadigmPromise => ParadigmPromise.make(layer(options))
