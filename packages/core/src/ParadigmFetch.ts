/**
 * The client over fetch, for runtimes that have nothing better: it does of Effect's `HttpClient` what this endpoint needs. The whole of it would
 * be 5 KB (compressed) more for a page to load.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { Fetch } from "effect/http/FetchHttpClient"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import type { Post } from "./transport/attempt.ts"
import type { TransportFailure } from "./transport/mapError.ts"
import * as ParadigmClient from "./ParadigmClient.ts"
import * as ParadigmConfig from "./ParadigmConfig.ts"
import type { ParadigmError } from "./ParadigmError.ts"

const transportFailure = (cause: unknown): TransportFailure => ({ reason: { _tag: "TransportError", cause } })

const post =
  (init: RequestInit): Post =>
  ({ body, headers, url }) =>
    Effect.gen(function* () {
      const fetch = yield* Fetch
      const controller = new AbortController()
      yield* Effect.addFinalizer(() => Effect.sync(() => controller.abort()))
      const request = { ...init, method: "POST", headers, body, signal: controller.signal }
      const response = yield* Effect.tryPromise({ try: () => fetch(url, request), catch: transportFailure })
      const bytes = response.body
      return {
        status: response.status,
        headers: Object.fromEntries(response.headers),
        stream: bytes === null ? Stream.empty : Stream.fromReadableStream({ evaluate: () => bytes, onError: transportFailure })
      }
    })

/**
 * Makes a client on fetch, which is given these options at every call. It honours Effect's `FetchHttpClient.Fetch`. Fails with
 * `InvalidConfiguration`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  options: ParadigmClient.Options,
  init: RequestInit
): Effect.Effect<ParadigmClient.ParadigmClient["Service"], ParadigmError> => ParadigmClient.makeOn(post(init), options)

/**
 * The same as a layer.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: ParadigmClient.Options, init: RequestInit): Layer.Layer<ParadigmClient.ParadigmClient, ParadigmError> =>
  Layer.effect(ParadigmClient.ParadigmClient, make(options, init))

/**
 * The same from the environment.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = (init: RequestInit): Layer.Layer<ParadigmClient.ParadigmClient, ParadigmError> =>
  ParadigmConfig.layerOf((options) => make(options, init))
