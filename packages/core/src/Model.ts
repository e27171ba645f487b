/**
 * Wire format of `GET /models`: the models that an endpoint serves, in OpenAI's shape.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import { listWith, retrieveWith } from "./client/models.ts"
import { type CallOptions, ParadigmClient, type ResponseInfo } from "./ParadigmClient.ts"
import type { ParadigmError } from "./ParadigmError.ts"

/**
 * A model of the endpoint.
 *
 * @category models
 * @since 0.1.0
 */
export interface Model {
  /** The name, for `model` of a request. */
  readonly id: string
  /** Kind of the object: `model`. */
  readonly object: string
  /** Unix seconds. 0 if the server does not send it. */
  readonly created: number
  /** The owner. Empty if the server does not send it. */
  readonly owned_by: string
}

/**
 * The models of the endpoint.
 *
 * @category models
 * @since 0.1.0
 */
export interface ModelList {
  /** Kind of the object: `list`. */
  readonly object: string
  readonly data: ReadonlyArray<Model>
}

/**
 * Decodes a model. Keeps fields that the type does not have. Returns `undefined` for a value without an `id`.
 *
 * @example
 * ```ts
 * import { Model } from "@paradigm-effect/core"
 *
 * console.log(Model.decodeModel({ id: "alfred-4.2" })?.object) // => model
 * ```
 *
 * @category decoding
 * @since 0.1.0
 */
export const decodeModel = (value: unknown): Model | undefined => {
  if (!Predicate.isObject(value)) return undefined
  const { created, id, object, owned_by: owner, ...rest } = value as Readonly<Record<string, unknown>>
  if (typeof id !== "string" || id === "") return undefined
  return {
    id,
    object: typeof object === "string" ? object : "model",
    created: typeof created === "number" ? created : 0,
    owned_by: typeof owner === "string" ? owner : "",
    ...rest
  }
}

/**
 * Decodes a list of models: `{ data: [...] }`, or the list itself. Returns `undefined` for any other value, and if an item is not a model.
 *
 * @example
 * ```ts
 * import { Model } from "@paradigm-effect/core"
 *
 * const list = Model.decodeModels({ object: "list", data: [{ id: "alfred-4.2", object: "model", created: 0, owned_by: "lighton" }] })
 * console.log(list?.data.map(({ id }) => id)) // => [ 'alfred-4.2' ]
 * ```
 *
 * @category decoding
 * @since 0.1.0
 */
export const decodeModels = (value: unknown): ModelList | undefined => {
  const data: unknown = Predicate.hasProperty(value, "data") ? value.data : value
  if (!Array.isArray(data)) return undefined
  const models = data.map(decodeModel).filter((model) => model !== undefined)
  return models.length === data.length ? { object: "list", data: models } : undefined
}

/**
 * A model or a list of models, and its response.
 *
 * @category models
 * @since 0.1.0
 */
export interface ModelResponse<out A> {
  readonly data: A
  readonly response: ResponseInfo
}

/**
 * Lists the models of the endpoint. Fails with `NotFound` if the endpoint has no list, and with `UnexpectedResponse` if its body is not a list.
 *
 * @example
 * ```ts
 * import { Model, ParadigmClient, Transport } from "@paradigm-effect/core"
 * import { Effect } from "effect"
 *
 * const layer = ParadigmClient.layerWith(Transport.fromFetch(), {
 *   apiKey: process.env.PARADIGM_API_KEY ?? "",
 *   baseUrl: process.env.PARADIGM_BASE_URL
 * })
 * const { data } = await Effect.runPromise(Effect.provide(Model.list(), layer))
 * console.log(data.map(({ id }) => id)) // => [ 'alfred-4.2' ]
 * ```
 *
 * @category requests
 * @since 0.1.0
 */
export const list = (options?: CallOptions): Effect.Effect<ModelList, ParadigmError, ParadigmClient> =>
  Effect.flatMap(ParadigmClient, (client) => Effect.map(listWith(client, options), ({ data }) => data))

/**
 * Gets a model of the endpoint. Fails with `ModelNotFound` or `NotFound` if the endpoint does not serve it.
 *
 * @example
 * ```ts
 * import { Model, ParadigmClient, Transport } from "@paradigm-effect/core"
 * import { Effect } from "effect"
 *
 * const layer = ParadigmClient.layerWith(Transport.fromFetch(), {
 *   apiKey: process.env.PARADIGM_API_KEY ?? "",
 *   baseUrl: process.env.PARADIGM_BASE_URL
 * })
 * const error = await Effect.runPromise(Effect.flip(Effect.provide(Model.retrieve("alfred-9"), layer)))
 * console.log(error.reason._tag) // => NotFound
 * ```
 *
 * @category requests
 * @since 0.1.0
 */
export const retrieve = (model: string, options?: CallOptions): Effect.Effect<Model, ParadigmError, ParadigmClient> =>
  Effect.flatMap(ParadigmClient, (client) => Effect.map(retrieveWith(client, model, options), ({ data }) => data))
