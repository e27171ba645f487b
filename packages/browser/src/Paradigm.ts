/**
 * The Paradigm client for browsers, on `fetch`, without referrer or headers that the endpoint does not need.
 *
 * @since 0.1.0
 */
import * as ParadigmClient from "@paradigm-effect/core/ParadigmClient"
import { InvalidConfiguration, ParadigmError } from "@paradigm-effect/core/ParadigmError"
import * as ParadigmPromise from "@paradigm-effect/core/ParadigmPromise"
import * as Transport from "@paradigm-effect/core/Transport"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

// Exports every type that a function below returns, for the declaration files of its callers.
export type * from "@paradigm-effect/core/CallerTypes"
export { ParadigmClient as Client } from "@paradigm-effect/core/ParadigmClient"
export { fromReadableStream, toResponse, withHelpers } from "@paradigm-effect/core/ParadigmPromise"
export { logTo } from "@paradigm-effect/core/ParadigmClient"
export { responseFormat, tool } from "@paradigm-effect/core/StandardSchema"
export { isParadigmError as isError, ParadigmError as Error } from "@paradigm-effect/core/ParadigmError"

/**
 * Client options in a browser: either the address of the application's own backend, or a key that the page may hold.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options extends ParadigmClient.ConnectOptions {
  /**
   * The address of the endpoint, as in other runtimes. It may be relative to the page: `/v1` is requested as `/v1/chat/completions`. Required
   * without a key, unless there is a `url`.
   */
  readonly baseUrl?: string | URL | undefined
  /** The exact URL of the requests, for a backend with another path. It may be relative to the page. Replaces `baseUrl`. */
  readonly url?: string | URL | undefined
  /** The API key. Requires `allowKeyInBrowser`. Without it, no credential is sent: the backend of the application adds its own. */
  readonly apiKey?: ParadigmClient.ApiKey | undefined
  /**
   * Whether the page may hold the key, which everybody who opens the page can read. Set it to `true` for the user's own key or a short-lived
   * one. Defaults to `false`.
   */
  readonly allowKeyInBrowser?: boolean | undefined
  /** Which requests send cookies. Defaults to `same-origin` without a key, and to `omit` with one. */
  readonly credentials?: "omit" | "same-origin" | "include" | undefined
}

// Names of the options in addition to those of core.
const options = ["url", "allowKeyInBrowser", "credentials"]

// Not the document's, which workers do not have. Servers that render the page have no location.
const toUrl = (url: string | URL) => (url === "" ? null : URL.parse(url, globalThis.location?.href))

const invalid = (option: string, detail: string) => new ParadigmError({ reason: new InvalidConfiguration({ option, detail }) })

const make = Effect.fnUntraced(function* ({ url, ...given }: Options): Effect.fn.Return<ParadigmClient.Service, ParadigmError> {
  const { allowKeyInBrowser, apiKey, credentials = apiKey === undefined ? "same-origin" : "omit" } = given
  const baseUrl = url ?? given.baseUrl
  const transport = Transport.fromFetch({ redirect: "manual", credentials, referrerPolicy: "no-referrer", cache: "no-store" })
  const runtime = { options, toUrl, isUrlExact: url !== undefined, isKeyOptional: baseUrl !== undefined }
  // The key may be absent.
  const client = yield* ParadigmClient.makeWith(transport, { ...given, baseUrl } as ParadigmClient.Options, runtime)
  if (apiKey !== undefined && allowKeyInBrowser !== true) {
    return yield* invalid("allowKeyInBrowser", "must be true: visitors can read the key")
  }
  if (!/^(omit|same-origin|include)$/.test(credentials)) return yield* invalid("credentials", "must be omit, same-origin or include")
  return client
})

/**
 * Creates the layer of a client. Fails with `InvalidConfiguration` when an option is missing, wrong or unknown, and when there is a
 * key without `allowKeyInBrowser: true`.
 *
 * @example
 * ```ts
 * import { Paradigm } from "@paradigm-effect/browser"
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
 *   baseUrl: process.env.PARADIGM_BASE_URL,
 *   allowKeyInBrowser: true
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
 * Creates a client with promises and async iterables. It has no helpers, which a page that only streams does not need: `withHelpers` adds
 * `stream`, `parse`, `runTools` and `models`. Throws `InvalidConfiguration` when an option is missing, wrong or unknown, and when there is a key
 * without `allowKeyInBrowser: true`.
 *
 * @example
 * ```ts
 * import { Paradigm } from "@paradigm-effect/browser"
 *
 * await using paradigm = Paradigm.connect({
 *   apiKey: process.env.PARADIGM_API_KEY ?? "",
 *   baseUrl: process.env.PARADIGM_BASE_URL,
 *   allowKeyInBrowser: true
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
export const connect = (options: Options): ParadigmPromise.LeanClient => ParadigmPromise.makeLean(make(options))
