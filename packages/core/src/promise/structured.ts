// Completions whose texts are decoded by a schema. Loaded when a request has one.
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import type { ChatCompletion, ChatCompletionRequest } from "../ChatCompletion.ts"
import { isParadigmError } from "../ParadigmError.ts"
import { type ParsedChoice, type ParsedCompletion, responseFormat, type SchemaFormat, type StandardSchema } from "../StandardSchema.ts"
import { mismatch, textOf, withoutFence } from "../tools/answer.ts"
import { decodeJson, isSchema } from "../tools/standardJson.ts"

/** A request whose response format may be a schema. */
export type SchemaRequest = Omit<ChatCompletionRequest, "response_format"> & { readonly response_format?: unknown }

/** The request to send, and the schema of its response. Throws `InvalidRequest` when the schema has no JSON Schema. */
export const prepare = (
  request: SchemaRequest
): { readonly request: ChatCompletionRequest; readonly schema: StandardSchema<unknown> | undefined } => {
  const { response_format: given } = request
  const format = isSchema(given) ? responseFormat(given) : given
  const schema = Predicate.hasProperty(format, "~schema") ? (format as SchemaFormat<unknown>)["~schema"] : undefined
  return { request: { ...request, response_format: format } as ChatCompletionRequest, schema }
}

const decode = async (completion: ChatCompletion, at: number, schema: StandardSchema<unknown> | undefined): Promise<unknown> => {
  const { refusal, tool_calls } = completion.choices[at]?.message ?? {}
  if (schema === undefined || refusal || (tool_calls?.length ?? 0) > 0) return null
  const text = Result.getOrThrowWith(textOf(completion, at), (error) => error)
  const decoded = await decodeJson(schema, withoutFence(text))
  if ("problem" in decoded) throw mismatch(completion, decoded.problem, text)
  return decoded.value
}

/** Decodes the texts of a completion. Throws `AnswerMismatch`, with the completion in `partial`. */
export const parse = async (
  completion: ChatCompletion,
  schema: StandardSchema<unknown> | undefined,
  requestId?: string
): Promise<ParsedCompletion<unknown>> => {
  try {
    return await parseChoices(completion, schema)
  } catch (error) {
    throw isParadigmError(error) && requestId !== undefined ? error.with({ requestId }) : error
  }
}

const parseChoices = async (
  completion: ChatCompletion,
  schema: StandardSchema<unknown> | undefined
): Promise<ParsedCompletion<unknown>> => {
  if (completion.choices.length === 0) throw mismatch(completion, "the completion has no choices", "")
  const choices = completion.choices.map(async (choice, at) => {
    const parsed = await decode(completion, at, schema)
    // Not enumerable, so that a message that is sent again does not contain it.
    const message = Object.defineProperty({ ...choice.message }, "parsed", { value: parsed })
    return { ...choice, message } as ParsedChoice<unknown>
  })
  return { ...completion, choices: await Promise.all(choices) }
}
