/**
 * The Paradigm client for Deno, on its `fetch`. It needs the permission `--allow-net` for the host of the endpoint.
 *
 * @since 0.1.0
 */
import * as ParadigmClient from "@paradigm-effect/core/ParadigmClient"
import type { ParadigmError } from "@paradigm-effect/core/ParadigmError"
import * as ParadigmConfig from "@paradigm-effect/core/ParadigmConfig"
import * as ParadigmPromise from "@paradigm-effect/core/ParadigmPromise"
import * as Telemetry from "@paradigm-effect/core/Telemetry"
import * as Transport from "@paradigm-effect/core/Transport"
import type * as Layer from "effect/Layer"

// Exports every type that a function below returns, for the declaration files of its callers.
export type * from "@paradigm-effect/core/CallerTypes"
export { type ConnectOptions, type Options, ParadigmClient as Client } from "@paradigm-effect/core/ParadigmClient"
export { fromReadableStream, toResponse, withHelpers } from "@paradigm-effect/core/ParadigmPromise"
export { logTo } from "@paradigm-effect/core/ParadigmClient"
export { responseFormat, tool } from "@paradigm-effect/core/StandardSchema"
export { isParadigmError as isError, ParadigmError as Error } from "@paradigm-effect/core/ParadigmError"

declare const Deno: { readonly env: { readonly get: (name: string) => string | undefined } }

const transport = /* @__PURE__ */ Transport.fromFetch({ redirect: "manual" })

// `navigator.userAgent` is, for example, `Deno/2.5.6`.
const runtime: ParadigmClient.Runtime = { product: navigator.userAgent.toLowerCase(), telemetry: /* @__PURE__ */ Telemetry.make() }

// A variable counts as absent if its permission is missing.
const environment = (name: string): string | undefined => {
  try {
    return Deno.env.get(name)
  } catch {
    return undefined
  }
}

/**
 * Creates the layer of a client. Fails with `InvalidConfiguration` when an option is missing, wrong or unknown.
 *
 * @example
 * ```ts
 * import { Paradigm } from "@paradigm-effect/deno"
 * import { Effect } from "effect"
 *
 * const program = Effect.gen(function* () {
 *   const paradigm = yield* Paradigm.Client
 *   return yield* paradigm.createChatCompletion({
 *     model: "alfred-4.2",
 *     messages: [{ role: "user", content: "Say hello" }]
 *   })
 * })
 *
 * const layer = Paradigm.layer({
 *   apiKey: process.env.PARADIGM_API_KEY ?? "",
 *   baseUrl: process.env.PARADIGM_BASE_URL
 * })
 * const completion = await Effect.runPromise(Effect.provide(program, layer))
 * console.log(completion.choices[0]?.message.content) // => Hello!
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: ParadigmClient.Options): Layer.Layer<ParadigmClient.ParadigmClient, ParadigmError> =>
  ParadigmClient.layerWith(transport, options, runtime)

/**
 * The layer of a client with options from Effect's `Config`: `PARADIGM_API_KEY` (or `LIGHTON_API_KEY`) and `PARADIGM_BASE_URL`, which need the
 * permission `--allow-env`. Fails with `InvalidConfiguration`, which names the variable.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig: Layer.Layer<ParadigmClient.ParadigmClient, ParadigmError> = /* @__PURE__ */ ParadigmConfig.layerOf((options) =>
  ParadigmClient.makeWith(transport, options, runtime)
)

/**
 * Creates a client with promises and async iterables. The environment variables `PARADIGM_API_KEY` (or `LIGHTON_API_KEY`) and
 * `PARADIGM_BASE_URL`, which need the permission `--allow-env`, are the defaults of the absent options.
 *
 * @example
 * ```ts
 * import { Paradigm } from "@paradigm-effect/deno"
 *
 * await using paradigm = Paradigm.connect({
 *   apiKey: process.env.PARADIGM_API_KEY ?? "",
 *   baseUrl: process.env.PARADIGM_BASE_URL
 * })
 * const chunks = await paradigm.chat.completions.create({
 *   model: "alfred-4.2",
 *   messages: [{ role: "user", content: "Say hello" }],
 *   stream: true
 * })
 * let text = ""
 * for await (const chunk of chunks) text += chunk.choices[0]?.delta.content ?? ""
 * console.log(text) // => Hello!
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const connect = (options: ParadigmClient.ConnectOptions = {}): ParadigmPromise.ParadigmPromise =>
  // The environment may have the key.
  ParadigmPromise.make(ParadigmClient.makeWith(transport, options as ParadigmClient.Options, { ...runtime, environment }))
