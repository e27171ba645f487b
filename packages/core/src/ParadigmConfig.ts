/**
 * The client options from the environment, by Effect's `ConfigProvider`.
 *
 * `PARADIGM_API_KEY`, or else `LIGHTON_API_KEY`, is the key. `PARADIGM_BASE_URL` is the base URL. An empty variable counts as absent.
 *
 * @since 0.1.0
 */
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { invalid, resolveOptions } from "./client/options.ts"
import { environmentOf } from "./Environment.ts"
import * as ParadigmClient from "./ParadigmClient.ts"
import type { ParadigmError } from "./ParadigmError.ts"

// Not with `Config`, which imports all of Effect's schemas.
const variable = (name: string) =>
  Effect.flatMap(ConfigProvider.ConfigProvider, (provider) =>
    Effect.mapBoth(provider.load([name]), {
      onFailure: () => invalid(name, "cannot be read"),
      onSuccess: (node): [string, string | undefined] => [name, node?.value]
    })
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
 * import { ParadigmClient, ParadigmConfig, Transport } from "@paradigm-effect/core"
 * import { ConfigProvider, Effect, Layer } from "effect"
 *
 * const layer = ParadigmConfig.layerOf((options) => ParadigmClient.makeWith(Transport.fromFetch(), options)).pipe(
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
