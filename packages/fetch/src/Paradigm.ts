/**
 * The Paradigm client for every runtime with `fetch`: Bun, Cloudflare Workers, edge functions and Deno.
 *
 * @since 0.1.0
 */
import * as OpenTelemetry from "@paradigm-effect/core/OpenTelemetry"
import * as ParadigmClient from "@paradigm-effect/core/ParadigmClient"
import { InvalidConfiguration, ParadigmError } from "@paradigm-effect/core/ParadigmError"
import * as ParadigmConfig from "@paradigm-effect/core/ParadigmConfig"
import * as ParadigmPromise from "@paradigm-effect/core/ParadigmPromise"
import * as Telemetry from "@paradigm-effect/core/Telemetry"
import * as Transport from "@paradigm-effect/core/Transport"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

// Exports every type that a function below returns, for the declaration files of its callers.
export type * from "@paradigm-effect/core/CallerTypes"
export { ParadigmClient as Client } from "@paradigm-effect/core/ParadigmClient"
export { fromReadableStream, toResponse, withHelpers } from "@paradigm-effect/core/ParadigmPromise"
export { logTo } from "@paradigm-effect/core/ParadigmClient"
export { make as telemetry } from "@paradigm-effect/core/Telemetry"
export { responseFormat, tool } from "@paradigm-effect/core/StandardSchema"
export { isParadigmError as isError, ParadigmError as Error } from "@paradigm-effect/core/ParadigmError"

/**
 * Options of the requests.
 *
 * @category options
 * @since 0.1.0
 */
export interface FetchOptions {
  /** Sends the requests, for example with a service binding of a Worker. Defaults to the global `fetch`. */
  readonly fetch?: ((url: URL, init: RequestInit) => Promise<Response>) | undefined
  /**
   * Further members of the second argument of `fetch`, by the runtime: `proxy`, `tls` and `unix` in Bun, `cf` in Cloudflare Workers. The client sets
   * `method`, `headers`, `body`, `signal` and `redirect`.
   */
  readonly fetchOptions?: { readonly [name: string]: unknown } | undefined
}

/**
 * Client options.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options extends ParadigmClient.Options, FetchOptions {}

/**
 * Client options with an optional key, which defaults to the environment's.
 *
 * @category options
 * @since 0.1.0
 */
export interface ConnectOptions extends ParadigmClient.ConnectOptions, FetchOptions {}

const { navigator, process } = globalThis as {
  readonly navigator?: { readonly userAgent?: string }
  readonly process?: { readonly env?: Readonly<Record<string, string | undefined>> }
}

// `Bun/1.4.5`, `Cloudflare-Workers` or `Deno/2.9.6`. A browser has a longer text, and edge functions have none.
const agent = /^[\w.-]+(\/[\w.-]+)?$/.exec(navigator?.userAgent ?? "")?.[0].toLowerCase()

const runtime: ParadigmClient.Runtime = {
  product: agent ?? "fetch",
  options: ["fetch", "fetchOptions"],
  telemetry: /* @__PURE__ */ Telemetry.make()
}

// Deno refuses a variable without its permission. It then counts as absent.
const environment = (name: string): string | undefined => {
  try {
    return process?.env?.[name]
  } catch {
    return undefined
  }
}

const reserved = ["method", "headers", "body", "signal", "redirect"]

const wrongOption = ({ fetch, fetchOptions }: FetchOptions): InvalidConfiguration | undefined => {
  if (fetch !== undefined && typeof fetch !== "function") return new InvalidConfiguration({ option: "fetch", detail: "must be a function" })
  if (fetchOptions === undefined) return undefined
  if (typeof fetchOptions !== "object") return new InvalidConfiguration({ option: "fetchOptions", detail: "must be an object" })
  const name = reserved.find((name) => fetchOptions[name] !== undefined)
  return name === undefined ? undefined : new InvalidConfiguration({ option: `fetchOptions.${name}`, detail: "is set by the client" })
}

const make = Effect.fnUntraced(function* (options: Options, here = runtime) {
  yield* ParadigmClient.checkOptions(options, here)
  const reason = wrongOption(options)
  if (reason !== undefined) return yield* new ParadigmError({ reason })
  const transport = Transport.fromFetch({ ...options.fetchOptions, redirect: "manual" }, options.fetch)
  return yield* ParadigmClient.makeWith(transport, options, here)
})

/**
 * Creates the layer of a client. Fails with `InvalidConfiguration` when an option is missing, wrong or unknown.
 *
 * @example
 * ```ts
 * import { Paradigm } from "@paradigm-effect/fetch"
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
export const layerConfig: Layer.Layer<ParadigmClient.ParadigmClient, ParadigmError> = /* @__PURE__ */ ParadigmConfig.layerOf((options) =>
  make(options)
)

/**
 * Creates a client with promises and async iterables. The environment variables `PARADIGM_API_KEY` (or `LIGHTON_API_KEY`) and
 * `PARADIGM_BASE_URL` are the defaults of the absent options, in runtimes with `process.env`. Throws `InvalidConfiguration` when an option is
 * missing, wrong or unknown.
 *
 * @example
 * ```ts
 * import { Paradigm } from "@paradigm-effect/fetch"
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
    make(options as Options, { ...runtime, environment: ParadigmClient.environmentOf(environment) }),
    OpenTelemetry.provide
  )
