/**
 * Responses that match an Effect Schema. The model server constrains the text to the schema's JSON Schema, and the text is decoded with the
 * schema. Filters and transformations, which a JSON Schema does not express, are checked by the decoder.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"
import * as Stream from "effect/Stream"
import type { Absent, ChatCompletion, ChatCompletionChunk, ChatCompletionRequest } from "./ChatCompletion.ts"
import { mismatch, textOf, withoutFence } from "./tools/answer.ts"
import { decodeText, jsonSchemaOf } from "./tools/modelJson.ts"
import { type CallOptions, ParadigmClient } from "./ParadigmClient.ts"
import { AnswerMismatch, InvalidRequest, ParadigmError } from "./ParadigmError.ts"

/**
 * A request without a response format. The response format is made from the schema.
 *
 * @category models
 * @since 0.1.0
 */
export type Request = ChatCompletionRequest & { readonly response_format?: Absent }

/**
 * Per-request options.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options extends CallOptions {
  /** Name of the schema: letters, digits, `_` and `-`. Defaults to the schema's identifier, or `answer`. */
  readonly name?: string | undefined
}

/**
 * A decoded response and its completion.
 *
 * @category models
 * @since 0.1.0
 */
export interface Answer<A> {
  /** The decoded text of the first choice. */
  readonly value: A
  readonly completion: ChatCompletion
}

/**
 * An element of a streamed response: a chunk, or the decoded response at the end.
 *
 * @category models
 * @since 0.1.0
 */
export type AnswerPart<A> = { readonly _tag: "Chunk"; readonly chunk: ChatCompletionChunk } | ({ readonly _tag: "Answer" } & Answer<A>)

const nameOf = (schema: Schema.Constraint) =>
  SchemaAST.resolveIdentifier(schema.ast)
    ?.replaceAll(/[^A-Za-z0-9_-]/g, "_")
    .slice(0, 64) ?? "answer"

/**
 * Creates the `response_format` of a schema. Throws a `ParadigmError` with the reason `InvalidRequest` when the schema has no JSON Schema.
 *
 * @example
 * ```ts
 * import * as StructuredOutput from "@paradigm-effect/core/StructuredOutput"
 * import * as Schema from "effect/Schema"
 *
 * const City = Schema.Struct({ name: Schema.String }).annotate({ identifier: "City" })
 * const format = StructuredOutput.responseFormat(City)
 * console.log(format.type, format.json_schema.name) // => json_schema City
 * ```
 *
 * @category encoding
 * @since 0.1.0
 */
export const responseFormat = (schema: Schema.Constraint, options: Pick<Options, "name"> = {}) => ({
  type: "json_schema" as const,
  json_schema: {
    name: options.name ?? nameOf(schema),
    schema: jsonSchemaOf(schema, "response_format.json_schema.schema"),
    strict: true
  }
})

// The client refuses options that it does not know.
const callOptions = (options: Options = {}): CallOptions => Object.assign({}, options, { name: undefined })

const withFormat = (request: ChatCompletionRequest, schema: Schema.Constraint, options: Options | undefined) =>
  Effect.suspend(() => {
    if (request.response_format !== undefined && request.response_format !== null) {
      const fields = { response_format: ["Expected no value, because the schema determines it"] }
      return Effect.fail(new ParadigmError({ reason: new InvalidRequest({ detail: "the answer has a schema", fields }) }))
    }
    return Effect.try({
      try: () => ({ ...request, response_format: responseFormat(schema, options) }),
      catch: (error) => error as ParadigmError
    })
  })

/**
 * Decodes the text of a completion's first choice. Removes a Markdown fence around it.
 *
 * Fails with `AnswerMismatch`, with the completion in `partial`, when the text is not JSON, does not match the schema or is truncated, or when
 * the model refused.
 *
 * @example
 * ```ts
 * import * as StructuredOutput from "@paradigm-effect/core/StructuredOutput"
 * import * as Effect from "effect/Effect"
 * import * as Schema from "effect/Schema"
 *
 * const City = Schema.Struct({ name: Schema.String })
 * const choices = [{ index: 0, message: { role: "assistant", content: '{"name":"Paris"}' } }] as const
 * const completion = { id: "chatcmpl-1", object: "chat.completion", created: 1700000000, model: "alfred-4.2", choices }
 * console.log(Effect.runSync(StructuredOutput.decode(completion, City)).value) // => { name: 'Paris' }
 * ```
 *
 * @category decoding
 * @since 0.1.0
 */
export const decode = Effect.fnUntraced(function* <S extends Schema.Constraint>(
  completion: ChatCompletion,
  schema: S
): Effect.fn.Return<Answer<S["Type"]>, ParadigmError, S["DecodingServices"]> {
  const text = yield* Effect.fromResult(textOf(completion))
  const value = yield* Effect.mapError(decodeText(schema, withoutFence(text)), (detail) => mismatch(completion, detail, text))
  return { value, completion }
})

/**
 * Creates a chat completion that matches a schema.
 *
 * Fails as `ParadigmClient.createChatCompletion` does, with `AnswerMismatch` as {@link decode} does, and with `InvalidRequest` when the
 * schema has no JSON Schema.
 *
 * @example
 * ```ts
 * import { ParadigmClient, Transport } from "@paradigm-effect/core"
 * import * as StructuredOutput from "@paradigm-effect/core/StructuredOutput"
 * import * as Effect from "effect/Effect"
 * import * as Schema from "effect/Schema"
 *
 * const City = Schema.Struct({ name: Schema.String, population: Schema.Int })
 * const layer = ParadigmClient.layerWith(Transport.fromFetch(), {
 *   apiKey: String(process.env.PARADIGM_API_KEY),
 *   baseUrl: process.env.PARADIGM_BASE_URL
 * })
 *
 * const program = StructuredOutput.createChatCompletion(
 *   { model: "alfred-4.2", messages: [{ role: "user", content: "The largest city of France?" }] },
 *   City
 * ).pipe(
 *   Effect.map(({ value }) => value.name),
 *   Effect.catchReason("ParadigmError", "AnswerMismatch", (reason) => Effect.succeed(`not a city: ${reason.text}`)),
 *   Effect.provide(layer)
 * )
 * console.log(await Effect.runPromise(program)) // => Hello!
 * ```
 *
 * @category requests
 * @since 0.1.0
 */
export const createChatCompletion = Effect.fnUntraced(function* <S extends Schema.Constraint>(
  request: Request,
  schema: S,
  options?: Options
): Effect.fn.Return<Answer<S["Type"]>, ParadigmError, ParadigmClient | S["DecodingServices"]> {
  const client = yield* ParadigmClient
  const { completion, response } = yield* client.createWithResponse(yield* withFormat(request, schema, options), callOptions(options))
  return yield* Effect.mapError(decode(completion, schema), (error) => error.with({ requestId: response.requestId }))
})

/**
 * Creates a chat completion that matches a schema, and streams its chunks. The last element is the decoded response. Interrupting the stream
 * aborts the request. Fails as {@link createChatCompletion} does.
 *
 * @example
 * ```ts
 * import { ParadigmClient, Transport } from "@paradigm-effect/core"
 * import * as StructuredOutput from "@paradigm-effect/core/StructuredOutput"
 * import * as Effect from "effect/Effect"
 * import * as Option from "effect/Option"
 * import * as Schema from "effect/Schema"
 * import * as Stream from "effect/Stream"
 *
 * const City = Schema.Struct({ name: Schema.String, population: Schema.Int })
 * const layer = ParadigmClient.layerWith(Transport.fromFetch(), {
 *   apiKey: String(process.env.PARADIGM_API_KEY),
 *   baseUrl: process.env.PARADIGM_BASE_URL
 * })
 *
 * const request = { model: "alfred-4.2", messages: [{ role: "user", content: "The largest city of France?" }] } as const
 * const program = StructuredOutput.streamChatCompletion(request, City).pipe(
 *   Stream.map((part) => (part._tag === "Chunk" ? part.chunk.choices[0]?.delta.content : part.value)),
 *   Stream.runLast,
 *   Effect.provide(layer)
 * )
 * console.log(Option.getOrThrow(await Effect.runPromise(program))) // => { name: 'Hello!', population: 42 }
 * ```
 *
 * @category requests
 * @since 0.1.0
 */
export const streamChatCompletion = <S extends Schema.Constraint>(
  request: Request,
  schema: S,
  options?: Options
): Stream.Stream<AnswerPart<S["Type"]>, ParadigmError, ParadigmClient | S["DecodingServices"]> =>
  Stream.unwrap(
    Effect.gen(function* () {
      const client = yield* ParadigmClient
      const { chunks, completion, response } = yield* client.streamWithResponse(
        yield* withFormat(request, schema, options),
        callOptions(options)
      )
      const answer = Effect.flatMap(completion, (whole) =>
        whole === undefined
          ? Effect.fail(new ParadigmError({ reason: new AnswerMismatch({ detail: "the stream has no chunks", text: "" }) }))
          : decode(whole, schema)
      ).pipe(Effect.mapError((error) => error.with({ requestId: response.requestId })))
      return Stream.concat(
        Stream.map(chunks, (chunk): AnswerPart<S["Type"]> => ({ _tag: "Chunk", chunk })),
        Stream.fromEffect(Effect.map(answer, (whole): AnswerPart<S["Type"]> => ({ _tag: "Answer", ...whole })))
      )
    })
  )
