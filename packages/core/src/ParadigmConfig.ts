/**
 * The client as the environment configures it.
 *
 * It asks the `ConfigProvider` itself: `Config` stands on `Schema`, which is more than a page should load to read two texts.
 *
 * @since 0.1.0
 */
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import { invalid } from "./client/options.ts"
import * as ParadigmClient from "./ParadigmClient.ts"
import type { ParadigmError } from "./ParadigmError.ts"

const names: Readonly<Record<string, string>> = { apiKey: "PARADIGM_API_KEY", baseUrl: "PARADIGM_BASE_URL" }

// Whoever set an environment variable looks for its name in the error.
const namingVariables = (error: ParadigmError) =>
  error.reason._tag === "InvalidConfiguration" ? invalid(names[error.reason.option] ?? error.reason.option, error.reason.detail) : error

const read = (name: string): Effect.Effect<string | undefined, ParadigmError> =>
  Effect.gen(function* () {
    const provider = yield* ConfigProvider.ConfigProvider
    return (yield* provider.load([name]))?.value
  }).pipe(Effect.mapError(() => invalid(name, "cannot be read")))

/**
 * What the environment says: `PARADIGM_API_KEY`, and `PARADIGM_BASE_URL` where it is not the default. Fails with `InvalidConfiguration`.
 *
 * @category options
 * @since 0.1.0
 */
export const options: Effect.Effect<ParadigmClient.Options, ParadigmError> = /* @__PURE__ */ Effect.gen(function* () {
  const apiKey = yield* read("PARADIGM_API_KEY")
  if (apiKey === undefined) return yield* invalid("PARADIGM_API_KEY", "is not set")
  return { apiKey: Redacted.make(apiKey), baseUrl: yield* read("PARADIGM_BASE_URL") }
})

/**
 * The client as a layer, made of what the environment says. Fails with `InvalidConfiguration`, which names the variable.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerOf = <R>(
  make: (options: ParadigmClient.Options) => Effect.Effect<ParadigmClient.Service, ParadigmError, R>
): Layer.Layer<ParadigmClient.ParadigmClient, ParadigmError, Exclude<R, Scope.Scope>> =>
  Layer.effect(
    ParadigmClient.ParadigmClient,
    Effect.flatMap(options, (options) => Effect.mapError(make(options), namingVariables))
  )

/**
 * The same on the `HttpClient` at hand.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<ParadigmClient.ParadigmClient, ParadigmError, HttpClient.HttpClient> = /* @__PURE__ */ layerOf(
  ParadigmClient.make
)
