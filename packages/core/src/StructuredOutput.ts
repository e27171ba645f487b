/**
 * Answers in the shape of an Effect Schema: the model is held to the schema's JSON form, and its text is decoded into the schema's type.
 *
 * ```ts
 * const City = Schema.Struct({ name: Schema.String, population: Schema.Int })
 *
 * const { value } = yield* StructuredOutput.createChatCompletion({ model, messages }, City)
 * value.population // number
 * ```
 *
 * The schema is the final judge: what its JSON form cannot say (a filter, a transformation) is checked when the text is decoded.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"
import * as Stream from "effect/Stream"
import type { ChatCompletion, ChatCompletionChunk, ChatCompletionRequest } from "./ChatCompletion.ts"
import { cutOff, decodeText, jsonSchemaOf } from "./tools/modelJson.ts"
import { type CallOptions, ParadigmClient } from "./ParadigmClient.ts"
import { AnswerMismatch, excerpt, InvalidRequest, ParadigmError } from "./ParadigmError.ts"

/**
 * A request whose answer's shape is left to the schema.
 *
 * @category models
 * @since 0.1.0
 */
export type Request = ChatCompletionRequest & { readonly response_format?: undefined }

/**
 * Options of one call.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options extends CallOptions {
  /** The name the model server is told, letters, digits, `_` and `-`. The schema's identifier by default, else `answer`. */
  readonly name?: string | undefined
}

/**
 * A decoded answer, and the completion it was in.
 *
 * @category models
 * @since 0.1.0
 */
export interface Answer<A> {
  /** What the text of the first choice means. */
  readonly value: A
  readonly completion: ChatCompletion
}

/**
 * What a streamed answer tells: its chunks as they arrive, and at the end the whole of it.
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
 * The `response_format` that holds a model to a schema. Throws a `ParadigmError` with the reason `InvalidRequest` when the schema has no JSON
 * form, as with a symbol for a key.
 *
 * ```ts
 * const request = { model, messages, response_format: StructuredOutput.responseFormat(City) }
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
    if (request.response_format !== undefined) {
      const fields = { response_format: ["Expected none: it is made from the schema"] }
      return Effect.fail(new ParadigmError({ reason: new InvalidRequest({ detail: "the answer has a schema", fields }) }))
    }
    return Effect.try({
      try: () => ({ ...request, response_format: responseFormat(schema, options) }),
      catch: (error) => error as ParadigmError
    })
  })

// Where the grammar is not enforced, models wrap their JSON in a Markdown fence: https://github.com/vllm-project/vllm/issues/18819
const withoutFence = (text: string): string => {
  const trimmed = text.trim()
  const opening = /^```(?:json)?[ \t]*\r?\n/i.exec(trimmed)
  return opening !== null && trimmed.endsWith("```") ? trimmed.slice(opening[0].length, -3) : text
}

const mismatch = (completion: ChatCompletion, detail: string, text: string) =>
  new ParadigmError({
    reason: new AnswerMismatch({ detail, text: excerpt(text) }),
    partial: completion,
    usage: completion.usage ?? undefined
  })

const textOf = (completion: ChatCompletion): Result.Result<string, ParadigmError> => {
  const fail = (detail: string, text: string) => Result.fail(mismatch(completion, detail, text))
  const choice = completion.choices[0]
  if (choice === undefined) return fail("the completion has no choices", "")
  const { content, reasoning, reasoning_content, refusal, tool_calls } = choice.message
  if (typeof refusal === "string" && refusal !== "") return fail("it is a refusal", refusal)
  const text = content ?? ""
  const cut = cutOff(choice.finish_reason)
  // Of a number's text nobody could tell that digits are missing.
  if (cut !== undefined) return fail(cut, text)
  if (text.trim() !== "") return Result.succeed(text)
  const thoughts = reasoning ?? reasoning_content ?? ""
  const instead = (tool_calls?.length ?? 0) > 0 ? ", only tool calls" : thoughts === "" ? "" : ", only reasoning"
  return fail(`it has no text${instead}`, thoughts)
}

/**
 * Decodes the text of a completion's first choice. A Markdown fence around the whole of it is taken off.
 *
 * Fails with `AnswerMismatch`, and the completion in `partial`, when the text is not JSON, does not fit the schema or was cut off, or when the
 * model refused.
 *
 * ```ts
 * const { value } = yield* StructuredOutput.decode(completion, City)
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
 * Asks for an answer in the shape of the schema, and waits for the whole of it.
 *
 * Fails as `ParadigmClient.createChatCompletion` does, with `AnswerMismatch` as {@link decode} does, and with `InvalidRequest` when the
 * schema has no JSON form.
 *
 * ```ts
 * const City = Schema.Struct({ name: Schema.String, population: Schema.Int })
 *
 * StructuredOutput.createChatCompletion({ model, messages: [{ role: "user", content: "The largest city?" }] }, City).pipe(
 *   Effect.map(({ value }) => value.name),
 *   Effect.catchReason("ParadigmError", "AnswerMismatch", (reason) => Effect.succeed(reason.text))
 * )
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
 * Asks for an answer in the shape of the schema, and tells its chunks as they arrive. The last element is the decoded answer; leaving the
 * stream before it closes the connection. Fails as {@link createChatCompletion} does.
 *
 * ```ts
 * StructuredOutput.streamChatCompletion({ model, messages }, City).pipe(
 *   Stream.runForEach((part) => (part._tag === "Chunk" ? showProgress : Console.log(part.value.name)))
 * )
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
