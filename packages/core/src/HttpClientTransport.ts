/**
 * The client on Effect's `HttpClient`. By its path alone: the modules of `HttpClient` import all of Effect's schemas, which would double the time to
 * load the client.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { constTrue } from "effect/Function"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Layer from "effect/Layer"
import * as ParadigmClient from "./ParadigmClient.ts"
import * as ParadigmConfig from "./ParadigmConfig.ts"
import type { ParadigmError } from "./ParadigmError.ts"
import * as Telemetry from "./Telemetry.ts"
import type { Transport } from "./Transport.ts"

/**
 * Creates a transport on an Effect `HttpClient`.
 *
 * @example
 * ```ts
 * import { ParadigmClient } from "@paradigm-effect/core"
 * import * as HttpClientTransport from "@paradigm-effect/core/HttpClientTransport"
 * import { Effect } from "effect"
 * import { FetchHttpClient, HttpClient } from "effect/http"
 *
 * const program = Effect.gen(function* () {
 *   const transport = HttpClientTransport.make(yield* HttpClient.HttpClient)
 *   const client = yield* ParadigmClient.makeWith(transport, {
 *     apiKey: process.env.PARADIGM_API_KEY ?? "",
 *     baseUrl: process.env.PARADIGM_BASE_URL
 *   })
 *   return yield* client.createChatCompletion({ model: "alfred-4.2", messages: [{ role: "user", content: "Say hello" }] })
 * })
 *
 * const completion = await Effect.runPromise(Effect.provide(program, FetchHttpClient.layer))
 * console.log(completion.choices[0]?.message.content) // => Hello!
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (http: HttpClient.HttpClient): Transport => {
  const scoped = HttpClient.withScope(http)
  return ({ body, headers, url }) => {
    const request =
      body === undefined
        ? HttpClientRequest.get(url, { headers })
        : HttpClientRequest.post(url, { headers }).pipe(HttpClientRequest.bodyText(body, headers["content-type"]))
    // The client emits its own spans and decides itself whether to send trace headers.
    return Effect.provideService(scoped.execute(request), HttpClient.TracerDisabledWhen, constTrue)
  }
}

/**
 * Creates a client on the current `HttpClient`. Fails with `InvalidConfiguration` when an option is missing, wrong or unknown.
 *
 * @example
 * ```ts
 * import * as HttpClientTransport from "@paradigm-effect/core/HttpClientTransport"
 * import { Effect } from "effect"
 * import { FetchHttpClient } from "effect/http"
 *
 * const program = Effect.gen(function* () {
 *   const client = yield* HttpClientTransport.makeClient({
 *     apiKey: process.env.PARADIGM_API_KEY ?? "",
 *     baseUrl: process.env.PARADIGM_BASE_URL
 *   })
 *   return yield* client.createChatCompletion({ model: "alfred-4.2", messages: [{ role: "user", content: "Say hello" }] })
 * })
 *
 * const completion = await Effect.runPromise(Effect.provide(program, FetchHttpClient.layer))
 * console.log(completion.choices[0]?.message.content) // => Hello!
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeClient = (options: ParadigmClient.Options): Effect.Effect<ParadigmClient.Service, ParadigmError, HttpClient.HttpClient> =>
  Effect.flatMap(HttpClient.HttpClient, (http) => ParadigmClient.makeWith(make(http), options, { telemetry: Telemetry.make() }))

/**
 * Creates the layer of a client on the current `HttpClient`. Fails with `InvalidConfiguration` when an option is missing, wrong or unknown.
 *
 * @example
 * ```ts
 * import { ParadigmClient } from "@paradigm-effect/core"
 * import * as HttpClientTransport from "@paradigm-effect/core/HttpClientTransport"
 * import { Effect, Layer, Stream } from "effect"
 * import { FetchHttpClient } from "effect/http"
 *
 * const program = Effect.gen(function* () {
 *   const client = yield* ParadigmClient.ParadigmClient
 *   const request = { model: "alfred-4.2", messages: [{ role: "user" as const, content: "Say hello" }] }
 *   return yield* client.streamChatCompletion(request).pipe(
 *     Stream.map((chunk) => chunk.choices[0]?.delta.content ?? ""),
 *     Stream.mkString
 *   )
 * })
 *
 * const layer = HttpClientTransport.layer({
 *   apiKey: process.env.PARADIGM_API_KEY ?? "",
 *   baseUrl: process.env.PARADIGM_BASE_URL
 * }).pipe(Layer.provide(FetchHttpClient.layer))
 *
 * console.log(await Effect.runPromise(Effect.provide(program, layer))) // => Hello!
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: ParadigmClient.Options): Layer.Layer<ParadigmClient.ParadigmClient, ParadigmError, HttpClient.HttpClient> =>
  Layer.effect(ParadigmClient.ParadigmClient, makeClient(options))

/**
 * The client layer on the `HttpClient` service, with options from the environment.
 *
 * @example
 * ```ts
 * import * as HttpClientTransport from "@paradigm-effect/core/HttpClientTransport"
 * import { ConfigProvider, Effect, Layer } from "effect"
 * import { FetchHttpClient } from "effect/http"
 *
 * const layer = HttpClientTransport.layerConfig.pipe(
 *   Layer.provide(FetchHttpClient.layer),
 *   Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnvRecord({})))
 * )
 * const error = await Effect.runPromise(Effect.flip(Effect.scoped(Layer.build(layer))))
 * console.log(error.message)
 * // => InvalidConfiguration: PARADIGM_API_KEY is not set; set it or LIGHTON_API_KEY, or give apiKey
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig: Layer.Layer<ParadigmClient.ParadigmClient, ParadigmError, HttpClient.HttpClient> =
  ParadigmConfig.layerOf(makeClient)
