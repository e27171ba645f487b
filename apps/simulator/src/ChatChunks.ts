/**
 * An answer on the wire: whole, or as the events of a stream.
 *
 * @since 0.1.0
 */
import type { Answer, Choice } from "./Answer.ts"
import {
  ChoiceWriter,
  type Frame,
  json,
  logprobsOf,
  showsIds,
  showsReasoning,
  sum,
  timingsOf,
  usageOf,
  type Writing
} from "./ChoiceWriter.ts"
import { rewritten } from "./CallPieces.ts"
import * as Ids from "./Ids.ts"
import { project, type Values } from "./KeyOrder.ts"
import * as Logprobs from "./Logprobs.ts"

export type { Frame, Writing } from "./ChoiceWriter.ts"

interface Call {
  name: string
  args: string
}

const messageOf = (choice: Choice, writing: Writing): Values => {
  const { profile, request } = writing
  let content = ""
  let reasoning = ""
  const calls: Array<Call> = []
  for (const delta of Array.from(choice.steps, ({ says }) => says).flat()) {
    if (delta.kind === "content") content += delta.text
    else if (delta.kind === "reasoning") reasoning += delta.text
    else if (delta.kind === "call") calls[delta.index] = { name: delta.name, args: "" }
    else if (delta.kind === "arguments") {
      const call = calls[delta.index]
      if (call !== undefined) call.args += delta.text
    }
  }
  const choiceOfTool = request.tool_choice
  const isForced = choiceOfTool === "required" || (typeof choiceOfTool === "object" && choiceOfTool !== null)
  // A list of calls that is cut is none.
  if (choiceOfTool === "required" && profile.calls.forced === "json" && choice.finish === "length") calls.length = 0
  const isBlank = content === "" || (profile.dropsBlankContent && reasoning !== "" && calls.length > 0 && content.trim() === "")
  const isNull = isBlank && (calls.length > 0 ? !isForced : reasoning !== "")
  const shown = reasoning === "" || !showsReasoning(writing) ? null : reasoning
  return project(calls.length > 0 ? profile.keys.callMessage : profile.keys.message, {
    role: "assistant",
    content: isNull && !profile.blankMessage ? null : isBlank ? "" : content,
    [profile.reasoningField]: shown,
    provider_specific_fields: { refusal: null, reasoning: shown },
    tool_calls: calls.map(({ args, name }, index) =>
      project(profile.keys.wholeCall, {
        id: Ids.make(profile.ids.call),
        index,
        type: "function",
        function: project(profile.keys.function, { name, arguments: rewritten(args, profile) })
      })
    )
  })
}

/**
 * The body of an answer that is not streamed.
 *
 * @category rendering
 * @since 0.1.0
 */
export const whole = (answer: Answer, writing: Writing): string => {
  const { codec, profile, request } = writing
  const { keys } = profile
  const top = request.prompt_logprobs
  const ids = showsIds(writing)
  const tokens = sum(answer.choices, ({ steps }) => steps.length)
  const idsOf = ({ steps }: Choice) => (ids ? Array.from(steps, ({ token }) => token.id) : null)
  return json(
    project(keys.completion, {
      id: answer.id,
      object: "chat.completion",
      created: answer.created,
      model: answer.model,
      choices: answer.choices.map((choice, index) =>
        project(keys.choice, {
          index,
          message: messageOf(choice, writing),
          logprobs: logprobsOf(choice.steps, writing),
          finish_reason: choice.finish,
          stop_reason: choice.stopReason,
          matched_stop: choice.stopReason ?? (choice.finish === "stop" ? codec.end : null),
          token_ids: idsOf(choice),
          provider_specific_fields: { token_ids: idsOf(choice), stop_reason: choice.stopReason, routed_experts: null }
        })
      ),
      system_fingerprint: profile.fingerprint,
      usage: project(
        keys.usage,
        usageOf(
          answer,
          profile,
          tokens,
          sum(answer.choices, ({ steps }) => steps.reasoningTokens)
        )
      ),
      prompt_logprobs: top != null ? Logprobs.ofPrompt(answer.promptTokens, Math.max(0, top), codec, profile.logprobs) : null,
      prompt_token_ids: ids ? answer.promptTokens : null,
      timings: timingsOf(answer, tokens),
      metadata: { weight_version: "default", weight_versions: [{ version: "default", start: 0, end: tokens }] }
    }),
    profile
  )
}

/**
 * The events of a stream, up to and with `[DONE]`. The choices advance together.
 *
 * @category rendering
 * @since 0.1.0
 */
export function* frames(answer: Answer, writing: Writing): Generator<Frame, void> {
  const { profile, request } = writing
  const asksUsage = request.stream_options?.include_usage === true && profile.stream.usage === "asked"
  const writers = answer.choices.map((choice, index) => new ChoiceWriter(index, choice, answer, writing, !asksUsage))
  const announced = profile.stream.endsFirstOnly ? writers.slice(0, 1) : writers
  if (profile.stream.role === "own") for (const writer of announced) yield writer.role()
  let running = writers
  while (running.length > 0) {
    for (const writer of running) yield* writer.next()
    running = running.filter((writer) => !writer.ended)
  }
  if (asksUsage) {
    const lost = profile.stream.undercounts && answer.choices.length > 1 ? answer.choices.length : 0
    const tokens = sum(answer.choices, ({ steps }) => steps.length) - lost
    const usage = usageOf(
      answer,
      profile,
      tokens,
      sum(answer.choices, ({ steps }) => steps.reasoningTokens)
    )
    const chunk = project(profile.keys.usageChunk, {
      id: answer.id,
      object: profile.stream.usageObject,
      created: answer.created,
      model: answer.model,
      choices: profile.stream.usageHasChoice ? [{ index: 0, delta: {} }] : [],
      usage: project(profile.keys.streamUsage, usage),
      system_fingerprint: profile.fingerprint,
      timings: timingsOf(answer, tokens)
    })
    yield { choice: -1, tokens: 0, data: json(chunk, profile) }
  }
  if (profile.stream.done) yield { choice: -1, tokens: 0, data: "[DONE]" }
}
