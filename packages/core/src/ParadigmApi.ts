/**
 * The endpoint as an `HttpApi`: its three request encodings, both kinds of answer, bearer security, and what each error status means.
 * The OpenAPI document is made from it; the gateway serves it.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import * as HttpApi from "effect/http-api/HttpApi"
import * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import * as HttpApiMiddleware from "effect/http-api/HttpApiMiddleware"
import * as HttpApiSchema from "effect/http-api/HttpApiSchema"
import * as HttpApiSecurity from "effect/http-api/HttpApiSecurity"
import * as OpenApi from "effect/http-api/OpenApi"
import { ChatCompletion, ChatCompletionChunk, ChatCompletionRequest } from "./ChatCompletion.ts"

/**
 * The path of the endpoint below its origin.
 *
 * @category constants
 * @since 0.1.0
 */
export const path = "/api/v3/chat/completions"

/**
 * The body of every error the endpoint answers. `error` is a stable word to switch on, `detail` is for people.
 *
 * @category errors
 * @since 0.1.0
 */
export const ErrorEnvelope = Schema.Struct({
  id: Schema.NullOr(Schema.String).annotateKey({ description: "The request's id, where it has one" }),
  code: Schema.Int.annotateKey({ description: "The HTTP status" }),
  error: Schema.String.annotateKey({ description: "A stable word for the kind of error" }),
  detail: Schema.String.annotateKey({ description: "What went wrong, for people" }),
  fields: Schema.optionalKey(
    Schema.Record(Schema.String, Schema.Array(Schema.Struct({ error: Schema.String, detail: Schema.String })))
  ).annotateKey({ description: "What is wrong with each field, by its path" })
}).annotate({ identifier: "ErrorEnvelope" })
/** @since 0.1.0 */
export type ErrorEnvelope = typeof ErrorEnvelope.Type

const failure = (status: number, description: string) => ErrorEnvelope.annotate({ description }).pipe(HttpApiSchema.status(status))

/**
 * Bearer security: `Authorization: Bearer <key>`.
 *
 * @category security
 * @since 0.1.0
 */
export class Authorization extends HttpApiMiddleware.Service<Authorization>()("@paradigm-effect/core/ParadigmApi/Authorization", {
  security: { bearerAuth: HttpApiSecurity.bearer },
  error: [failure(401, "The key is missing or unknown"), failure(403, "The key may not do this")]
}) {}

/**
 * `POST /api/v3/chat/completions`.
 *
 * @category endpoints
 * @since 0.1.0
 */
export const createChatCompletion = HttpApiEndpoint.post("createChatCompletion", path, {
  payload: [
    ChatCompletionRequest,
    ChatCompletionRequest.pipe(HttpApiSchema.asFormUrlEncoded()),
    ChatCompletionRequest.pipe(HttpApiSchema.asMultipart())
  ],
  success: [ChatCompletion, HttpApiSchema.StreamSse({ data: ChatCompletionChunk })],
  error: [
    failure(400, "The body is not what its content type says"),
    failure(404, "No such model, or not for this key"),
    failure(405, "Another method than POST"),
    failure(406, "Accept allows neither JSON nor an event stream"),
    failure(408, "The request did not arrive in time"),
    failure(413, "The body is too large"),
    failure(415, "The content type is not one of the three"),
    failure(422, "A field is missing or wrong; see fields"),
    failure(429, "Too many requests; see Retry-After"),
    failure(500, "The endpoint failed"),
    failure(502, "The model server refused, broke off or answered nonsense"),
    failure(503, "No healthy model server, or maintenance"),
    failure(504, "The model server did not answer in time")
  ]
})
  .middleware(Authorization)
  .annotateMerge(
    OpenApi.annotations({
      summary: "Generate a chat completion",
      description:
        "Forwards the request to the model it names. With `stream: true` the answer is a stream of server-sent events, one chunk each, that ends with `data: [DONE]`; otherwise it is one JSON object."
    })
  )

type JsonValue = null | boolean | number | string | ReadonlyArray<JsonValue> | JsonObject
type JsonObject = { readonly [key: string]: JsonValue }

const isObject = (value: JsonValue | undefined): value is JsonObject => typeof value === "object" && value !== null && !Array.isArray(value)

const isNull = (schema: JsonValue) => isObject(schema) && schema["type"] === "null"

// An optional field may be `undefined` in TypeScript; the generator writes that as one more `null`, which the wire does not allow.
const withoutUndefined = (schema: JsonValue): JsonValue => {
  if (!isObject(schema) || !Array.isArray(schema["anyOf"])) return schema
  const at = schema["anyOf"].findLastIndex(isNull)
  if (at === -1) return schema
  const { anyOf, ...rest } = schema
  const alternatives = anyOf.toSpliced(at, 1)
  const [only] = alternatives
  return alternatives.length === 1 && isObject(only) ? { ...only, ...rest } : { ...rest, anyOf: alternatives }
}

// One plain schema instead of several that differ in an annotation or in `additionalProperties`. A reference may have its description beside it.
const tidySchema = (value: JsonValue): JsonValue => {
  if (Array.isArray(value)) return value.map(tidySchema)
  if (!isObject(value)) return value
  const tidied: { [key: string]: JsonValue } = {}
  for (const [key, child] of Object.entries(value)) tidied[key] = tidySchema(child)
  const { allOf, properties, ...rest } = tidied
  const required = new Set(Array.isArray(rest["required"]) ? rest["required"] : [])
  const fields = isObject(properties)
    ? {
        properties: Object.fromEntries(
          Object.entries(properties).map(([name, schema]) => [name, required.has(name) ? schema : withoutUndefined(schema)])
        )
      }
    : {}
  const merged = Array.isArray(allOf) && allOf.every(isObject) ? Object.assign({}, ...allOf) : {}
  return { ...rest, ...fields, ...merged }
}

const reference = (name: string) => ({ $ref: `#/components/schemas/${name}` })

// The generator describes Effect's own encodings of forms and streams, and one error schema a status; the wire has one schema of each.
const asOnTheWire = (document: JsonObject): JsonObject => {
  const tidy = JSON.parse(JSON.stringify(document).replace(/(#\/components\/schemas\/\w+?)_\d+"/g, '$1"'))
  const operation = tidy.paths[path].post
  for (const media of Object.values<{ schema: JsonValue }>(operation.requestBody.content)) media.schema = reference("ChatCompletionRequest")
  operation.responses["200"].description = "The completion, or its stream"
  operation.responses["200"].content["text/event-stream"] = { schema: reference("ChatCompletionChunk") }
  const schemas = Object.entries<JsonValue>(tidy.components.schemas).filter(([name]) => !/_\d+$|Encoded$/.test(name))
  tidy.components.schemas = Object.fromEntries(
    schemas.map(([name, schema]): [string, JsonValue] => {
      const { description: _, ...plain } = tidySchema(schema) as { description?: JsonValue }
      return [name, name === "ErrorEnvelope" ? plain : tidySchema(schema)]
    })
  )
  return tidy
}

/**
 * The endpoint's `HttpApi`.
 *
 * @category api
 * @since 0.1.0
 */
export class ParadigmApi extends HttpApi.make("paradigm")
  .add(HttpApiGroup.make("Models", { topLevel: true }).add(createChatCompletion))
  .annotateMerge(
    OpenApi.annotations({
      title: "Paradigm chat completions",
      version: "v3",
      description: "Chat completions of a LightOn Paradigm endpoint, compatible with OpenAI's.",
      transform: asOnTheWire
    })
  ) {}
