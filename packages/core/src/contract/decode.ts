// JSON values as what the contract says they are.
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import type { ChatCompletion, ChatCompletionChunk, ChatCompletionRequest } from "../ChatCompletion.ts"
import type { Fields } from "../errors/FieldErrors.ts"
import type { Validator } from "./validator.ts"
import * as Validators from "./validators.generated.ts"

// The contract's types are open and its schemas change nothing: what has the shape is the value.
const decode = <A>(validator: Validator, value: unknown): Result.Result<A, Fields> => {
  if (validator.accepts(value)) return Result.succeed(value as A)
  const problems = new Map<string, Array<string>>()
  validator.explain(value, "", problems)
  return Result.fail(Object.fromEntries(problems))
}

export const decodeRequest = (value: unknown): Result.Result<ChatCompletionRequest, Fields> =>
  decode<ChatCompletionRequest>(Validators.ChatCompletionRequest, value)

// What only identifies an answer may be missing; a list of choices may not.
const withEnvelope = (value: unknown, object: string, complete: (choice: unknown, at: number) => unknown) => {
  if (!Predicate.isObject(value)) return value
  const { choices, created, id, model } = value
  return {
    ...value,
    id: id ?? "",
    object: value["object"] ?? object,
    created: typeof created === "number" ? Math.floor(created) : (created ?? 0),
    model: model ?? "",
    ...(Array.isArray(choices) ? { choices: choices.map(complete) } : {})
  }
}

// A choice of another kind of answer, which would say nothing as a chunk's, stays without a delta and is refused.
const chunkChoice = (choice: unknown) => {
  if (!Predicate.isObject(choice)) return choice
  const delta = choice["delta"] ?? ("message" in choice || "text" in choice ? undefined : {})
  return { ...choice, index: choice["index"] ?? 0, delta }
}

const completionChoice = (choice: unknown, at: number) => {
  if (!Predicate.isObject(choice)) return choice
  const message = choice["message"]
  return {
    ...choice,
    index: choice["index"] ?? at,
    ...(Predicate.isObject(message) ? { message: { ...message, role: message["role"] ?? "assistant" } } : {})
  }
}

/**
 * A chunk as the servers of this endpoint and of its kin write it. Without `id` or `model` they are `""`, without `created` it is 0, a choice
 * without `index` is the first, one without `delta` adds nothing, and a `created` with a fraction loses it.
 */
export const decodeChunk = (value: unknown): Result.Result<ChatCompletionChunk, Fields> =>
  Validators.ChatCompletionChunk.accepts(value)
    ? Result.succeed(value as ChatCompletionChunk)
    : decode<ChatCompletionChunk>(Validators.ChatCompletionChunk, withEnvelope(value, "chat.completion.chunk", chunkChoice))

/**
 * A completion, as tolerantly: a choice without `index` is at its place in the list, a message without `role` is the assistant's. The choices
 * come in the order of their `index`.
 */
export const decodeCompletion = (value: unknown): Result.Result<ChatCompletion, Fields> => {
  const whole = Validators.ChatCompletion.accepts(value) ? value : withEnvelope(value, "chat.completion", completionChoice)
  return Result.map(decode<ChatCompletion>(Validators.ChatCompletion, whole), (completion) =>
    completion.choices.every((choice, at, all) => at === 0 || (all[at - 1]?.index ?? 0) <= choice.index)
      ? completion
      : { ...completion, choices: completion.choices.toSorted((a, b) => a.index - b.index) }
  )
}
