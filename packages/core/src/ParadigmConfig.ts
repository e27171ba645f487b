/**
 * The client options from the environment, by Effect's `Config`.
 *
 * `PARADIGM_API_KEY`, or else `LIGHTON_API_KEY`, is the key. `PARADIGM_BASE_URL` is the base URL. An empty variable counts as absent.
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { invalid, resolveOptions } from "./client/options.ts"
import { environmentOf } from "./Environment.ts"
import * as ParadigmClient from "./ParadigmClient.ts"
import type { ParadigmError } from "./ParadigmError.ts"

const variable = (name: string) =>
  Effect.map(
    Effect.mapError(Config.option(Config.String(name)), () => invalid(name, "cannot be read")),
    (value): [string, string | undefined] => [name, Option.getOrUndefined(value)]
  )

const optionsOf = Effect.fnUntraced(function* (runtime: ParadigmClient.Runtime): Effect.fn.Return<ParadigmClient.Options, ParadigmError> {
  const variables = new Map(yield* Effect.forEach(["PARADIGM_API_KEY", "LIGHTON_API_KEY", "PARADIGM_BASE_URL"], variable))
  const { apiKey } = yield* Effect.fromResult(resolveOptions({}, { ...runtime, environment: environmentOf((name) => variables.get(name)) }))
  return { apiKey: yield* apiKey, baseUrl: variables.get("PARADIGM_BASE_URL") || undefined }
})

/**
 * Reads the client options from the `ConfigProvider`. Fails with `InvalidConfiguration`, which names the variable.
 *
 * @example
 * ```ts
 * import { ParadigmConfig } from "@paradigm-effect/core"
 * import { ConfigProvider, Effect } from "effect"
 *
 * const provider = ConfigProvider.fromEnvRecord({ LIGHTON_API_KEY: "a-key", PARADIGM_BASE_URL: "http://localhost:8000/v1" })
 * const options = Effect.runSync(Effect.provideService(ParadigmConfig.options, ConfigProvider.ConfigProvider, provider))
 * console.log(String(options.apiKey), options.baseUrl) // => <redacted> http://localhost:8000/v1
 * ```
 *
 * @category options
 * @since 0.1.0
 */
export const options: Effect.Effect<ParadigmClient.Options, ParadigmError> = /* @__PURE__ */ optionsOf({})

/**
 * Makes the client layer of a runtime from the environment. Fails with `InvalidConfiguration`, which names the variable.
 *
 * @example
 * ```ts
 * import { ParadigmClient, ParadigmConfig } from "@paradigm-effect/core"
 * import { ConfigProvider, Effect, Layer } from "effect"
 * import { FetchHttpClient } from "effect/http"
 *
 * const layer = ParadigmConfig.layerOf(ParadigmClient.make).pipe(
 *   Layer.provide(FetchHttpClient.layer),
 *   Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnvRecord({ PARADIGM_API_KEY: "a-key" })))
 * )
 * const program = Effect.as(ParadigmClient.ParadigmClient, "made")
 * console.log(await Effect.runPromise(Effect.provide(program, layer))) // => made
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layerOf = <R>(
  make: (options: ParadigmClient.Options) => Effect.Effect<ParadigmClient.Service, ParadigmError, R>,
  runtime: ParadigmClient.Runtime = {}
): Layer.Layer<ParadigmClient.ParadigmClient, ParadigmError, Exclude<R, Scope.Scope>> =>
  Layer.effect(ParadigmClient.ParadigmClient, Effect.flatMap(optionsOf(runtime), make))

/**
 * The client layer on the `HttpClient` service, with options from the environment.
 *
 * @example
 * ```ts
 * import { ParadigmConfig } from "@paradigm-effect/core"
 * import { ConfigProvider, Effect, Layer } from "effect"
 * import { FetchHttpClient } from "effect/http"
 *
 * const layer = ParadigmConfig.layerConfig.pipe(
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
export const layerConfig: Layer.Layer<ParadigmClient.ParadigmClient, ParadigmError, HttpClient.HttpClient> = /* @__PURE__ */ layerOf(
  ParadigmClient.make
)
