/**
 * Paradigm's models as language models of `effect/ai`, on the `ParadigmClient` of any runtime: text, streams, objects, tools, chats and reasoning.
 *
 * Every failure is an `AiError`. The `cause` of its reason is the `ParadigmError` of the client, with the partial completion and every attempt.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Stream from "effect/Stream"
import * as LanguageModel from "effect/ai/LanguageModel"
import * as Model from "effect/ai/Model"
import type * as Response from "effect/ai/Response"
import type { ChatCompletion } from "@paradigm-effect/core/ChatCompletion"
import { ParadigmClient } from "@paradigm-effect/core/ParadigmClient"
import { codecTransformer, generate, stream } from "./internal/generate.ts"
import type { ModelConfig } from "./internal/request.ts"

export type { ModelConfig } from "./internal/request.ts"

/**
 * Configuration of the models in a scope. Overrides the configuration of a model field by field.
 *
 * @category configuration
 * @since 0.1.0
 */
export class Config extends Context.Service<Config, ModelConfig>()("@paradigm-effect/ai/ParadigmLanguageModel/Config") {}

const merge = (base: ModelConfig | undefined, overrides: ModelConfig): ModelConfig => ({
  ...base,
  ...overrides,
  ...(base?.call !== undefined && overrides.call !== undefined && { call: { ...base.call, ...overrides.call } })
})

/**
 * Options of {@link make} and {@link layer}.
 *
 * @category options
 * @since 0.1.0
 */
export interface ModelOptions {
  /** Name of a model that the endpoint serves. */
  readonly model: string
  readonly config?: Omit<ModelConfig, "model"> | undefined
}

/**
 * Creates a language model on the current client.
 *
 * @example
 * ```ts
 * import { ParadigmLanguageModel } from "@paradigm-effect/ai"
 * import { Paradigm } from "@paradigm-effect/node"
 * import { Effect } from "effect"
 *
 * const program = Effect.gen(function* () {
 *   const model = yield* ParadigmLanguageModel.make({ model: "alfred-4.2" })
 *   const { text } = yield* model.generateText({ prompt: "Say hello" })
 *   return text
 * })
 *
 * console.log(await Effect.runPromise(Effect.provide(program, Paradigm.layerConfig))) // => Hello!
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function* ({
  config,
  model
}: ModelOptions): Effect.fn.Return<LanguageModel.LanguageModel, never, ParadigmClient> {
  const client = yield* ParadigmClient
  const configured = Effect.map(Effect.serviceOption(Config), (scoped) =>
    merge(
      { ...config, model },
      Option.getOrElse(scoped, (): ModelConfig => ({}))
    )
  )
  return yield* LanguageModel.make({
    generateText: (options) => Effect.flatMap(configured, (config) => generate(client, config, options)),
    streamText: (options) => Stream.unwrap(Effect.map(configured, (config) => stream(client, config, options))),
    codecTransformer
  })
})

/**
 * Creates the layer of a language model on the current client.
 *
 * @example
 * ```ts
 * import { ParadigmLanguageModel } from "@paradigm-effect/ai"
 * import { Paradigm } from "@paradigm-effect/node"
 * import { Effect, Layer, Stream } from "effect"
 * import { LanguageModel } from "effect/ai"
 *
 * const layer = ParadigmLanguageModel.layer({ model: "alfred-4.2", config: { temperature: 0 } }).pipe(
 *   Layer.provide(Paradigm.layerConfig)
 * )
 *
 * const program = LanguageModel.streamText({ prompt: "Say hello" }).pipe(
 *   Stream.map((part) => (part.type === "text-delta" ? part.delta : "")),
 *   Stream.mkString
 * )
 * console.log(await Effect.runPromise(Effect.provide(program, layer))) // => Hello!
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: ModelOptions): Layer.Layer<LanguageModel.LanguageModel, never, ParadigmClient> =>
  Layer.effect(LanguageModel.LanguageModel, make(options))

/**
 * Creates a model: the layer of a language model, which also provides the name of the model and of the provider (`paradigm`).
 *
 * @example
 * ```ts
 * import { ParadigmLanguageModel } from "@paradigm-effect/ai"
 * import { Paradigm } from "@paradigm-effect/node"
 * import { Effect } from "effect"
 * import { LanguageModel } from "effect/ai"
 *
 * const program = LanguageModel.generateText({ prompt: "Say hello" }).pipe(
 *   Effect.map(({ text, usage }) => `${text} ${usage.outputTokens.total}`),
 *   Effect.provide(ParadigmLanguageModel.model("alfred-4.2", { temperature: 0, max_tokens: 100 })),
 *   Effect.provide(Paradigm.layerConfig)
 * )
 * console.log(await Effect.runPromise(program)) // => Hello! 3
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const model = (
  name: string,
  config?: Omit<ModelConfig, "model">
): Model.Model<"paradigm", LanguageModel.LanguageModel, ParadigmClient> => Model.make("paradigm", name, layer({ model: name, config }))

type Configured<S> =
  S extends Stream.Stream<infer A, infer E, infer R>
    ? Stream.Stream<A, E, R>
    : S extends Effect.Effect<infer A, infer E, infer R>
      ? Effect.Effect<A, E, R>
      : never

/**
 * Overrides the configuration of the models that an effect or a stream uses. The innermost override of a field counts.
 *
 * @example
 * ```ts
 * import { ParadigmLanguageModel } from "@paradigm-effect/ai"
 * import { Paradigm } from "@paradigm-effect/node"
 * import { Effect } from "effect"
 * import { LanguageModel } from "effect/ai"
 *
 * const careful = LanguageModel.generateText({ prompt: "Say hello" }).pipe(
 *   ParadigmLanguageModel.withConfigOverride({ reasoning_effort: "high", call: { timeouts: { total: "2 minutes" } } })
 * )
 *
 * const program = Effect.provide(careful, ParadigmLanguageModel.model("alfred-4.2"))
 * const { text } = await Effect.runPromise(Effect.provide(program, Paradigm.layerConfig))
 * console.log(text) // => Hello!
 * ```
 *
 * @category configuration
 * @since 0.1.0
 */
export const withConfigOverride: {
  (
    overrides: ModelConfig
  ): <S extends Effect.Effect<unknown, unknown, unknown> | Stream.Stream<unknown, unknown, unknown>>(self: S) => Configured<S>
  <S extends Effect.Effect<unknown, unknown, unknown> | Stream.Stream<unknown, unknown, unknown>>(
    self: S,
    overrides: ModelConfig
  ): Configured<S>
} = dual(2, <A, E, R>(self: Effect.Effect<A, E, R> | Stream.Stream<A, E, R>, overrides: ModelConfig) => {
  const merged = Effect.map(Effect.serviceOption(Config), (outer) => merge(Option.getOrUndefined(outer), overrides))
  return Stream.isStream(self)
    ? Stream.unwrap(Effect.map(merged, (config) => Stream.provideService(self, Config, config)))
    : Effect.flatMap(merged, (config) => Effect.provideService(self, Config, config))
})

/**
 * Returns the completion of a response: the fields that the parts do not have, such as `logprobs`, `stop_reason` or `metrics`. Returns `undefined`
 * for parts without the last part of a response of this package.
 *
 * @example
 * ```ts
 * import { ParadigmLanguageModel } from "@paradigm-effect/ai"
 * import { Paradigm } from "@paradigm-effect/node"
 * import { Effect } from "effect"
 * import { LanguageModel } from "effect/ai"
 *
 * const program = LanguageModel.generateText({ prompt: "Say hello" }).pipe(
 *   Effect.map(({ content }) => ParadigmLanguageModel.completion(content)?.choices[0]?.finish_reason),
 *   Effect.provide(ParadigmLanguageModel.model("alfred-4.2")),
 *   Effect.provide(Paradigm.layerConfig)
 * )
 * console.log(await Effect.runPromise(program)) // => stop
 * ```
 *
 * @category getters
 * @since 0.1.0
 */
export const completion = (parts: ReadonlyArray<Response.AnyPart>): ChatCompletion | undefined => {
  const paradigm = parts.findLast((part) => part.type === "finish")?.metadata["paradigm"]
  return Predicate.isObject(paradigm) ? (paradigm["completion"] as ChatCompletion | undefined) : undefined
}
