/**
 * The endpoint as an `HttpApi`: its three request encodings, its two kinds of response, bearer security and its errors by status. The OpenAPI
 * document is generated from it, and the gateway serves it.
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
import { ChatCompletion, ChatCompletionChunk, ChatCompletionRequest } from "./ContractSchema.ts"
import { toWireDocument } from "./contract/openApiDocument.ts"

/**
 * Path of the endpoint.
 *
 * @category constants
 * @since 0.1.0
 */
export const path = "/api/v3/chat/completions"

/**
 * The body of every error response. Switch on `error`, which is stable. `detail` is not.
 *
 * @category errors
 * @since 0.1.0
 */
export const ErrorEnvelope = Schema.Struct({
  id: Schema.NullOr(Schema.String).annotateKey({ description: "Identifier of the request." }),
  code: Schema.Int.annotateKey({ description: "HTTP status." }),
  error: Schema.String.annotateKey({ description: "Kind of the error. Stable." }),
  detail: Schema.String.annotateKey({ description: "Description of the error. Not stable." }),
  fields: Schema.optionalKey(
    Schema.Record(Schema.String, Schema.Array(Schema.Struct({ error: Schema.String, detail: Schema.String })))
  ).annotateKey({ description: "Problems of each field, by its path." })
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
  error: [failure(401, "The key is missing or unknown."), failure(403, "The key does not permit the request.")]
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
    failure(400, "The body does not match its content type."),
    failure(404, "The model does not exist or is not available to the key."),
    failure(405, "The method is not POST."),
    failure(406, "Accept excludes JSON and event streams."),
    failure(408, "The request was not received in time."),
    failure(413, "The body is too large."),
    failure(415, "The content type is not supported."),
    failure(422, "A field is missing or invalid. See `fields`."),
    failure(429, "Too many requests. See Retry-After."),
    failure(500, "Unexpected error of the endpoint."),
    failure(502, "The model server refused or lost the connection, or sent an invalid response."),
    failure(503, "No model server is available, or maintenance."),
    failure(504, "The model server did not respond in time.")
  ]
})
  .middleware(Authorization)
  .annotateMerge(
    OpenApi.annotations({
      summary: "Create a chat completion",
      description:
        "Forwards the request to its model. With `stream: true` the response is a stream of server-sent events that ends with `data: [DONE]`. Otherwise it is a JSON object."
    })
  )

/**
 * The endpoint's `HttpApi`.
 *
 * @example
 * ```ts
 * import * as ParadigmApi from "@paradigm-effect/core/ParadigmApi"
 * import * as OpenApi from "effect/http-api/OpenApi"
 *
 * const document = OpenApi.fromApi(ParadigmApi.ParadigmApi)
 * console.log(Object.keys(document.paths)) // => [ '/api/v3/chat/completions' ]
 * ```
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
      description:
        "Chat completions of a LightOn Paradigm endpoint, compatible with OpenAI's. A field that is not listed is kept. An optional field that is null counts as absent.",
      servers: [
        { url: "/", description: "The endpoint that serves this document." },
        { url: "https://paradigm.lighton.ai", description: "LightOn's endpoint." }
      ],
      transform: toWireDocument(path)
    })
  ) {}
