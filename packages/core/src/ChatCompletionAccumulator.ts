/**
 * Folds the chunks of a stream into the completion that the same request would have got without streaming.
 *
 * @since 0.1.0
 */
import type {
  ChatCompletion,
  ChatCompletionChoice,
  ChatCompletionChunk,
  ChatCompletionDelta,
  ChatMessageResponse,
  CompletionUsage,
  FinishReason,
  ToolCall
} from "./ChatCompletion.ts"

interface Call {
  id: string | undefined
  type: string | undefined
  name: string
  arguments: string
}

interface Choice {
  role: string | undefined
  content: string | undefined
  reasoning: string | undefined
  reasoningContent: string | undefined
  refusal: string | undefined
  functionCall: { name: string; arguments: string } | undefined
  toolCalls: Map<number, Call> | undefined
  finishReason: FinishReason | undefined
  stopReason: string | number | null | undefined
}

const joined = (before: string | undefined, more: string | null | undefined) =>
  more === undefined || more === null ? before : before === undefined ? more : before + more

const toToolCall = (call: Call): ToolCall => ({
  ...(call.id === undefined ? {} : { id: call.id }),
  type: call.type ?? "function",
  function: { name: call.name, arguments: call.arguments }
})

const toMessage = (choice: Choice): ChatMessageResponse => {
  const calls = choice.toolCalls === undefined ? [] : [...choice.toolCalls].sort(([a], [b]) => a - b).map(([, call]) => toToolCall(call))
  const onlyCalls = choice.content === "" && (calls.length > 0 || choice.functionCall !== undefined)
  return {
    role: choice.role ?? "assistant",
    content: onlyCalls ? null : (choice.content ?? null),
    ...(choice.reasoning === undefined ? {} : { reasoning: choice.reasoning }),
    ...(choice.reasoningContent === undefined ? {} : { reasoning_content: choice.reasoningContent }),
    ...(choice.refusal === undefined ? {} : { refusal: choice.refusal }),
    ...(choice.functionCall === undefined ? {} : { function_call: { ...choice.functionCall } }),
    ...(calls.length === 0 ? {} : { tool_calls: calls })
  }
}

const toChoice = ([index, choice]: [number, Choice]): ChatCompletionChoice => ({
  index,
  message: toMessage(choice),
  finish_reason: choice.finishReason ?? null,
  ...(choice.stopReason === undefined ? {} : { stop_reason: choice.stopReason })
})

/**
 * The fold's state. It can be read at any moment: `completion` is what has arrived so far.
 *
 * @category folding
 * @since 0.1.0
 */
export class ChatCompletionAccumulator {
  /** How many chunks were added. */
  chunks = 0
  /** The last usage that came. */
  usage: CompletionUsage | undefined = undefined
  #envelope: ChatCompletionChunk | undefined = undefined
  readonly #choices = new Map<number, Choice>()

  add(chunk: ChatCompletionChunk): void {
    this.chunks++
    this.#envelope ??= chunk
    if (chunk.usage !== undefined && chunk.usage !== null) this.usage = chunk.usage
    for (const { delta, finish_reason, index, stop_reason } of chunk.choices) {
      const choice = this.#choice(index)
      this.#addDelta(choice, delta)
      if (finish_reason !== undefined && finish_reason !== null) choice.finishReason = finish_reason
      if (stop_reason !== undefined) choice.stopReason = stop_reason
    }
  }

  /** The completion so far; `undefined` before the first chunk. A choice that is not finished has the `finish_reason` null. */
  get completion(): ChatCompletion | undefined {
    const envelope = this.#envelope
    if (envelope === undefined) return undefined
    return {
      id: envelope.id,
      object: "chat.completion",
      created: envelope.created,
      model: envelope.model,
      choices: [...this.#choices].sort(([a], [b]) => a - b).map(toChoice),
      ...(this.usage === undefined ? {} : { usage: this.usage }),
      ...(typeof envelope.system_fingerprint === "string" ? { system_fingerprint: envelope.system_fingerprint } : {}),
      ...(typeof envelope.service_tier === "string" ? { service_tier: envelope.service_tier } : {})
    }
  }

  /** Whether a choice began, and every one that began has its finish reason. */
  get isFinished(): boolean {
    if (this.#choices.size === 0) return false
    for (const choice of this.#choices.values()) if (choice.finishReason === undefined) return false
    return true
  }

  #choice(index: number): Choice {
    let choice = this.#choices.get(index)
    if (choice === undefined) {
      choice = {
        role: undefined,
        content: undefined,
        reasoning: undefined,
        reasoningContent: undefined,
        refusal: undefined,
        functionCall: undefined,
        toolCalls: undefined,
        finishReason: undefined,
        stopReason: undefined
      }
      this.#choices.set(index, choice)
    }
    return choice
  }

  #addDelta(choice: Choice, delta: ChatCompletionDelta) {
    choice.role ??= delta.role ?? undefined
    choice.content = joined(choice.content, delta.content)
    choice.reasoning = joined(choice.reasoning, delta.reasoning)
    choice.reasoningContent = joined(choice.reasoningContent, delta.reasoning_content)
    choice.refusal = joined(choice.refusal, delta.refusal)
    if (delta.function_call !== undefined && delta.function_call !== null) {
      choice.functionCall ??= { name: "", arguments: "" }
      choice.functionCall.name += delta.function_call.name ?? ""
      choice.functionCall.arguments += delta.function_call.arguments ?? ""
    }
    for (const piece of delta.tool_calls ?? []) {
      choice.toolCalls ??= new Map()
      let call = choice.toolCalls.get(piece.index)
      if (call === undefined) choice.toolCalls.set(piece.index, (call = { id: undefined, type: undefined, name: "", arguments: "" }))
      call.id ??= piece.id ?? undefined
      call.type ??= piece.type ?? undefined
      // Some servers repeat the whole name in every piece.
      if (typeof piece.function?.name === "string" && piece.function.name !== call.name) call.name += piece.function.name
      call.arguments += piece.function?.arguments ?? ""
    }
  }
}
