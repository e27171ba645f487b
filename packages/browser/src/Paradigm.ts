/**
 * Paradigm's chat completions in a browser, over fetch: no cookies, no referrer, no header beyond those the endpoint needs.
 *
 * @since 0.1.0
 */
import * as ParadigmClient from "@paradigm-effect/core/ParadigmClient"
import { InvalidConfiguration, ParadigmError } from "@paradigm-effect/core/ParadigmError"
import * as ParadigmConfig from "@paradigm-effect/core/ParadigmConfig"
import * as ParadigmPromise from "@paradigm-effect/core/ParadigmPromise"
import * as Transport from "@paradigm-effect/core/Transport"
import * as Effect from "effect/Effect"
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
export { ParadigmClient as Client } from "@paradigm-effect/core/ParadigmClient"
export { isParadigmError as isError, ParadigmError as Error } from "@paradigm-effect/core/ParadigmError"

/**
 * How to reach an endpoint from a browser.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options extends ParadigmClient.Options {
  /**
   * A key in a page can be read by everybody who opens it. Say `true` where that is meant: a key of the user's own, or one that is
   * short-lived.
   */
  readonly allowKeyInBrowser?: boolean | undefined
}

const transport = /* @__PURE__ */ Transport.fromFetch({
  redirect: "manual",
  credentials: "omit",
  referrerPolicy: "no-referrer",
  cache: "no-store"
})

const refused = /* @__PURE__ */ new InvalidConfiguration({
  option: "allowKeyInBrowser",
  detail: "is not set: a key in a page can be read by everybody who opens it; set it to true if that is meant"
})

/**
 * The client. Fails with `InvalidConfiguration`, also unless `allowKeyInBrowser` is `true`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<ParadigmClient.ParadigmClient, ParadigmError> =>
  options.allowKeyInBrowser === true
    ? ParadigmClient.layerWith(transport, options)
    : Layer.effect(
        ParadigmClient.ParadigmClient,
        Effect.suspend(() => Effect.fail(new ParadigmError({ reason: refused })))
      )

/**
 * The same from the `ConfigProvider` at hand, with `PARADIGM_API_KEY` and `PARADIGM_BASE_URL`. A page has no environment: whoever
 * provides one means the key to be there.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig: Layer.Layer<ParadigmClient.ParadigmClient, ParadigmError> = /* @__PURE__ */ ParadigmConfig.layerOf((options) =>
  ParadigmClient.makeWith(transport, options)
)

/**
 * The client for people without Effect: promises and async iterables.
 *
 * @category constructors
 * @since 0.1.0
 */
export const connect = (options: Options): ParadigmPromise.ParadigmPromise => ParadigmPromise.make(layer(options))
