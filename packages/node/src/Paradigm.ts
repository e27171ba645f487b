/**
 * The Paradigm client for Node, on undici.
 *
 * @since 0.1.0
 */
import * as OpenTelemetry from "@paradigm-effect/core/OpenTelemetry"
import * as ParadigmClient from "@paradigm-effect/core/ParadigmClient"
import type { ParadigmError } from "@paradigm-effect/core/ParadigmError"
import * as ParadigmConfig from "@paradigm-effect/core/ParadigmConfig"
import * as ParadigmPromise from "@paradigm-effect/core/ParadigmPromise"
import * as Telemetry from "@paradigm-effect/core/Telemetry"
import * as Timeouts from "@paradigm-effect/core/Timeouts"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { ConnectionOptions } from "./ConnectionOptions.ts"
import * as Dispatcher from "./internal/dispatcher.ts"
import * as UndiciTransport from "./internal/UndiciTransport.ts"
import * as UnixSocket from "./internal/unixSocket.ts"

// Exports every type that a function below returns, for the declaration files of its callers.
export type * from "@paradigm-effect/core/CallerTypes"
export { ParadigmClient as Client } from "@paradigm-effect/core/ParadigmClient"
export type { ConnectionOptions, Pem, UndiciDispatcher } from "./ConnectionOptions.ts"
export { fromReadableStream, toResponse, withHelpers } from "@paradigm-effect/core/ParadigmPromise"
export { logTo } from "@paradigm-effect/core/ParadigmClient"
export { make as telemetry } from "@paradigm-effect/core/Telemetry"
export { responseFormat, tool } from "@paradigm-effect/core/StandardSchema"
export { isParadigmError as isError, ParadigmError as Error } from "@paradigm-effect/core/ParadigmError"

/**
 * Client options.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options extends ParadigmClient.Options, ConnectionOptions {}

/**
 * Client options with an optional key, which defaults to the environment's.
 *
 * @category options
 * @since 0.1.0
 */
export interface ConnectOptions extends ParadigmClient.ConnectOptions, ConnectionOptions {}

const runtime: ParadigmClient.Runtime = {
  product: `node/${process.versions.node}`,
  options: Dispatcher.optionNames,
  telemetry: /* @__PURE__ */ Telemetry.make(),
  toUrl: UnixSocket.toUrl
}

const make = Effect.fnUntraced(function* (options: Options, environment?: ParadigmClient.Runtime["environment"]) {
  const here = { ...runtime, environment }
  // Before undici is loaded, so that `connect` throws at once.
  yield* ParadigmClient.checkOptions(options, here)
  const socketPath = UnixSocket.socketPathOf(options.baseUrl ?? environment?.find("baseUrl")?.[1])
  const connectTimeout = Timeouts.toMillis(options.timeouts?.connect) ?? 10_000
  const dispatcher = yield* Dispatcher.make(options, connectTimeout, socketPath)
  const peers = socketPath === undefined ? { proxyFor: Dispatcher.proxyFor(options) } : { origin: `unix:${socketPath}` }
  return yield* ParadigmClient.makeWith(UndiciTransport.make(dispatcher, peers), options, here)
})

/**
 * Creates the layer of a client with its own connection pool. Fails with `InvalidConfiguration` when an option is missing, wrong or unknown.
 *
 * @example
 * ```ts
 * import { Paradigm } from "@paradigm-effect/node"
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
export const layer = (options: Options): Layer.Layer<ParadigmClient.ParadigmClient, ParadigmError> =>
  Layer.effect(ParadigmClient.ParadigmClient, make(options))

/**
 * The layer of a client with options from Effect's `Config`: `PARADIGM_API_KEY` (or `LIGHTON_API_KEY`) and `PARADIGM_BASE_URL`. Fails with
 * `InvalidConfiguration`, which names the variable.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig: Layer.Layer<ParadigmClient.ParadigmClient, ParadigmError> = /* @__PURE__ */ ParadigmConfig.layerOf(
  (options) => make(options),
  runtime
)

/**
 * Creates a client with promises and async iterables. The environment variables `PARADIGM_API_KEY` (or `LIGHTON_API_KEY`) and
 * `PARADIGM_BASE_URL` are the defaults of the absent options. Throws `InvalidConfiguration` when an option is missing, wrong or unknown.
 *
 * @example
 * ```ts
 * import { Paradigm } from "@paradigm-effect/node"
 *
 * await using paradigm = Paradigm.connect()
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
export const connect = (options: ConnectOptions = {}): ParadigmPromise.ParadigmPromise =>
  // The environment may have the key.
  ParadigmPromise.make(
    make(
      options as Options,
      ParadigmClient.environmentOf((name) => process.env[name])
    ),
    OpenTelemetry.provide
  )
