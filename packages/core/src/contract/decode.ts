// JSON values as the contract's types.
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import { Anomalies } from "../Anomaly.ts"
import type { ChatCompletion, ChatCompletionChoice, ChatCompletionChunk, ChatCompletionRequest } from "../ChatCompletion.ts"
import { ChatCompletionAccumulator } from "../ChatCompletionAccumulator.ts"
import type { Fields } from "../errors/FieldErrors.ts"
import { nameOf } from "../stream/toolCalls.ts"
import { isBlank, Repairer } from "./repair.ts"
import { problemsOf } from "./validator.ts"
import * as Validators from "./validators.generated.ts"

// The schemas change nothing: a value that the validator accepts has the type.
export const decodeRequest = (value: unknown): Result.Result<ChatCompletionRequest, Fields> =>
  Validators.ChatCompletionRequest.accepts(value)
    ? Result.succeed(value as ChatCompletionRequest)
    : Result.fail(problemsOf(Validators.ChatCompletionRequest, value))

interface Choice {
  readonly finish_reason?: unknown
  readonly message?: unknown
  readonly text?: unknown
}
interface Said {
  readonly role?: string | null | undefined
  readonly reasoning?: string | null | undefined
  readonly reasoning_content?: string | null | undefined
}

// Whether a choice that the validator accepts needs no repair.
const isPlain = ({ finish_reason, message, text }: Choice, said: Said) => {
  const { reasoning, reasoning_content, role } = said
  return (
    !isBlank(finish_reason) && role !== "" && !text && (!message || message === said) && (reasoning !== reasoning_content || !reasoning)
  )
}

/**
 * Decodes a chunk of a stream. Repairs it in place when it deviates from the contract. Returns `undefined` for an event that has neither
 * choices nor usage. Fails when an essential field is unusable. `soFar` has the chunks before it and receives the anomalies.
 */
export const decodeChunk = (
  value: unknown,
  soFar: ChatCompletionAccumulator = new ChatCompletionAccumulator()
): Result.Result<ChatCompletionChunk | undefined, Fields> => {
  const validator = Validators.ChatCompletionChunk
  if (validator.accepts(value)) {
    const chunk = value as ChatCompletionChunk
    if (chunk.choices.every((choice) => isPlain(choice, choice.delta))) return Result.succeed(chunk)
  }
  const { anomalies } = soFar
  if (value === null || (Predicate.isObject(value) && !Predicate.isNotNullish(value["choices"]))) {
    anomalies.add("choices", "choices", "array", value)
    if (!Predicate.isObject(value?.["usage"])) return Result.succeed(undefined)
    value["choices"] = []
  }
  const problems = new Repairer(anomalies, soFar).repair(value, validator)
  return problems === undefined ? Result.succeed(value as ChatCompletionChunk) : Result.fail(problems)
}

/**
 * Decodes a completion. Repairs it in place when it deviates from the contract. Orders its choices by their index. Fails when an essential
 * field is unusable. `anomalies` receives the anomalies.
 */
export const decodeCompletion = (value: unknown, anomalies: Anomalies = new Anomalies()): Result.Result<ChatCompletion, Fields> => {
  const validator = Validators.ChatCompletion
  const isRight =
    validator.accepts(value) &&
    (value as ChatCompletion).choices.every(
      (choice) => isPlain(choice, choice.message) && (choice.message.tool_calls ?? []).every((call) => call.id && nameOf(call))
    )
  const problems = isRight ? undefined : new Repairer(anomalies).repair(value, validator)
  if (problems !== undefined) return Result.fail(problems)
  const completion = value as ChatCompletion
  if (completion.choices.length === 0) anomalies.add("choices", "choices", "non-empty array", completion.choices)
  for (const [at, { finish_reason }] of completion.choices.entries()) {
    if (!finish_reason) anomalies.add("unfinished", `choices[${at}].finish_reason`, "string", finish_reason)
  }
  ;(completion.choices as Array<ChatCompletionChoice>).sort((a, b) => a.index - b.index)
  return Result.succeed(completion)
}

/** The indices of the choices that the model server aborted. */
export const abortedChoices = (
  reasons: ReadonlyArray<readonly [index: number, reason: string | null | undefined]>
): ReadonlyArray<number> => reasons.filter(([, reason]) => reason === "abort").map(([index]) => index)
