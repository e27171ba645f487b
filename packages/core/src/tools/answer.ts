// The answer of a completion: the text of a choice.
import * as Result from "effect/Result"
import type { ChatCompletion } from "../ChatCompletion.ts"
import { AnswerMismatch, excerpt, ParadigmError } from "../ParadigmError.ts"

/** Describes why a text is truncated, if its finish reason implies that. */
export const cutOff = (finishReason: string | null | undefined): string | undefined => {
  if (finishReason === "length") return "it was cut off at the token limit (finish_reason length)"
  if (finishReason === "content_filter") return "it was cut off by the content filter (finish_reason content_filter)"
  return undefined
}

/** Removes a Markdown fence, which models write if the grammar is not enforced: https://github.com/vllm-project/vllm/issues/18819 */
export const withoutFence = (text: string): string => {
  const trimmed = text.trim()
  const opening = /^```(?:json)?[ \t]*\r?\n/i.exec(trimmed)
  return opening !== null && trimmed.endsWith("```") ? trimmed.slice(opening[0].length, -3) : text
}

/** The error of a completion that does not fit. */
export const mismatch = (completion: ChatCompletion, detail: string, text: string) =>
  new ParadigmError({
    reason: new AnswerMismatch({ detail, text: excerpt(text) }),
    partial: completion,
    usage: completion.usage ?? undefined
  })

/** The text of a choice. Fails if the choice is a refusal, cut off or without text. */
export const textOf = (completion: ChatCompletion, at = 0): Result.Result<string, ParadigmError> => {
  const fail = (detail: string, text: string) => Result.fail(mismatch(completion, detail, text))
  const choice = completion.choices[at]
  if (choice === undefined) return fail("the completion has no choices", "")
  const { content, reasoning, reasoning_content, refusal, tool_calls } = choice.message
  if (typeof refusal === "string" && refusal !== "") return fail("it is a refusal", refusal)
  const text = content ?? ""
  const cut = cutOff(choice.finish_reason)
  // The text of a number does not show that digits are missing.
  if (cut !== undefined) return fail(cut, text)
  if (text.trim() !== "") return Result.succeed(text)
  const thoughts = reasoning ?? reasoning_content ?? ""
  const instead = (tool_calls?.length ?? 0) > 0 ? ", only tool calls" : thoughts === "" ? "" : ", only reasoning"
  return fail(`it has no text${instead}`, thoughts)
}
