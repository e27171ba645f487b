/**
 * The Paradigm client for browsers, on `fetch`, without cookies, referrer or headers that the endpoint does not need.
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
 * Client options in a browser.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options extends ParadigmClient.Options {
  /**
   * Whether the page may hold the key, which everybody who opens the page can read. Set it to `true` for the user's own key or a short-lived
   * one. Defaults to `false`.
   */
  readonly allowKeyInBrowser?: boolean | undefined
}

const transport = /* @__PURE__ */ Transport.fromFetch({
  redirect: "manual",
  credentials: "omit",
  referrerPolicy: "no-referrer",
  cache: "no-store"
})

const runtime: ParadigmClient.Runtime = { options: ["allowKeyInBrowser"] }

const refused = /* @__PURE__ */ new InvalidConfiguration({
  option: "allowKeyInBrowser",
  detail: "must be true: everybody who opens the page can read the key"
})

const make = (options: Options): Effect.Effect<ParadigmClient.Service, ParadigmError> =>
  Effect.flatMap(ParadigmClient.makeWith(transport, options, runtime), (client) =>
    options.allowKeyInBrowser === true ? Effect.succeed(client) : Effect.fail(new ParadigmError({ reason: refused }))
  )

/**
 * Creates the layer of a client. Fails with `InvalidConfiguration` when an option is missing, wrong or unknown, and unless
 * `allowKeyInBrowser` is `true`.
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
 * `stream`, `parse`, `runTools` and `models`.
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
