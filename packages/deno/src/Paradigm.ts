/**
 * The Paradigm client for Deno, on its `fetch`. It needs the permission `--allow-net` for the host of the endpoint.
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
 * An HTTP client of Deno. Not Deno's own type, because that needs the types of Deno.
 *
 * @category options
 * @since 0.1.0
 */
export interface HttpClient {
  close(): void
}

/**
 * Options of the connections.
 *
 * @category options
 * @since 0.1.0
 */
export interface ConnectionOptions {
  /** Sends the requests, from `Deno.createHttpClient`. The client does not close it. The other connection options cannot be combined with it. */
  readonly client?: HttpClient | undefined
  /**
   * The proxy for all requests, for example `http://user:password@proxy.example.com:8080`. Defaults to the environment variables `HTTPS_PROXY`,
   * `HTTP_PROXY` and `NO_PROXY`, which Deno itself reads.
   */
  readonly proxy?: string | URL | undefined
  /** Certificate authorities to trust in addition to Deno's own, as PEM. */
  readonly caCerts?: ReadonlyArray<string> | undefined
  /** The certificate of the client, as PEM. */
  readonly cert?: string | undefined
  /** The private key of the client's certificate, as PEM. */
  readonly key?: string | undefined
}

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

declare const Deno: {
  readonly env: { readonly get: (name: string) => string | undefined }
  readonly createHttpClient: (options: object) => HttpClient
}

// `navigator.userAgent` is, for example, `Deno/2.5.6`.
const runtime: ParadigmClient.Runtime = {
  product: navigator.userAgent.toLowerCase(),
  options: ["client", "proxy", "caCerts", "cert", "key"],
  telemetry: /* @__PURE__ */ Telemetry.make()
}

const invalid = (option: string, detail: string) => new ParadigmError({ reason: new InvalidConfiguration({ option, detail }) })

const proxyOf = (proxy: string | URL): object | undefined => {
  const url = URL.parse(proxy)
  if (url === null) return undefined
  const { password, username } = url
  url.username = url.password = ""
  const basicAuth = { username: decodeURIComponent(username), password: decodeURIComponent(password) }
  return { url: url.href, ...(username === "" ? {} : { basicAuth }) }
}

// Deno's own error quotes the value, which may be a key.
const openClient = ({ caCerts, cert, key, proxy }: ConnectionOptions) => {
  const given = { caCerts, cert, key, proxy: proxy === undefined ? undefined : proxyOf(proxy) }
  const [option = "proxy"] = Object.entries(given).flatMap(([name, value]) => (value === undefined ? [] : [name]))
  if (proxy !== undefined && given.proxy === undefined) return Effect.fail(invalid("proxy", "is not the URL of a proxy"))
  return Effect.try({
    try: () => Deno.createHttpClient(Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))),
    catch: () => invalid(option, "is refused by Deno.createHttpClient")
  })
}

const make = Effect.fnUntraced(function* (options: Options, here = runtime) {
  yield* ParadigmClient.checkOptions(options, here)
  const own = (["proxy", "caCerts", "cert", "key"] as const).find((name) => options[name] !== undefined)
  if (options.client !== undefined && own !== undefined) return yield* invalid(own, "cannot be combined with client")
  const client =
    own === undefined ? options.client : yield* Effect.acquireRelease(openClient(options), (client) => Effect.sync(() => client.close()))
  const init = { redirect: "manual", ...(client === undefined ? {} : { client }) } as const
  return yield* ParadigmClient.makeWith(Transport.fromFetch(init), options, here)
})

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
export const layer = (options: Options): Layer.Layer<ParadigmClient.ParadigmClient, ParadigmError> =>
  Layer.effect(ParadigmClient.ParadigmClient, make(options))

/**
 * The layer of a client with options from Effect's `Config`: `PARADIGM_API_KEY` (or `LIGHTON_API_KEY`) and `PARADIGM_BASE_URL`, which need the
 * permission `--allow-env`. Fails with `InvalidConfiguration`, which names the variable.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig: Layer.Layer<ParadigmClient.ParadigmClient, ParadigmError> = /* @__PURE__ */ ParadigmConfig.layerOf((options) =>
  make(options)
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
export const connect = (options: ConnectOptions = {}): ParadigmPromise.ParadigmPromise =>
  // The environment may have the key.
  ParadigmPromise.make(
    make(options as Options, { ...runtime, environment: ParadigmClient.environmentOf(environment) }),
    OpenTelemetry.provide
  )
