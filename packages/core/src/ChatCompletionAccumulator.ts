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
  functionCall: Call | undefined
  toolCalls: Map<number, Call> | undefined
  finishReason: FinishReason | undefined
  stopReason: string | number | null | undefined
  logprobs: Record<string, unknown> | undefined
}

const newCall = (): Call => ({ id: undefined, type: undefined, name: "", arguments: "" })

// Some servers repeat the whole name in every piece.
const addToCall = (call: Call, piece: { readonly name?: string | null | undefined; readonly arguments?: string | null | undefined }) => {
  if (typeof piece.name === "string" && piece.name !== call.name) call.name += piece.name
  call.arguments += piece.arguments ?? ""
}

// Some servers fill an id that is yet to come with an empty text.
const firstText = (before: string | undefined, more: string | null | undefined) =>
  before === undefined || before === "" ? (more ?? before) : before

// Lists are joined, as `content` and `refusal` come in pieces; of anything else the last one counts.
const addLogprobs = (before: Record<string, unknown>, more: Readonly<Record<string, unknown>>) => {
  for (const [name, value] of Object.entries(more)) {
    const list = before[name]
    if (Array.isArray(list) && Array.isArray(value)) for (const item of value) list.push(item)
    else before[name] = Array.isArray(value) ? [...value] : (value ?? list)
  }
}

// What is told must not change when more comes.
const copyLogprobs = (logprobs: Readonly<Record<string, unknown>>) =>
  Object.fromEntries(Object.entries(logprobs).map(([name, value]) => [name, Array.isArray(value) ? [...value] : value]))

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
    ...(choice.functionCall === undefined
      ? {}
      : { function_call: { name: choice.functionCall.name, arguments: choice.functionCall.arguments } }),
    ...(calls.length === 0 ? {} : { tool_calls: calls })
  }
}

const toChoice = ([index, choice]: [number, Choice]): ChatCompletionChoice => ({
  index,
  message: toMessage(choice),
  finish_reason: choice.finishReason ?? null,
  ...(choice.stopReason === undefined ? {} : { stop_reason: choice.stopReason }),
  ...(choice.logprobs === undefined ? {} : { logprobs: copyLogprobs(choice.logprobs) })
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
  #fingerprint: string | undefined = undefined
  #serviceTier: string | undefined = undefined
  readonly #choices = new Map<number, Choice>()

  add(chunk: ChatCompletionChunk): void {
    this.chunks++
    this.#envelope ??= chunk
    if (chunk.usage !== undefined && chunk.usage !== null) this.usage = chunk.usage
    if (typeof chunk.system_fingerprint === "string") this.#fingerprint = chunk.system_fingerprint
    if (typeof chunk.service_tier === "string") this.#serviceTier = chunk.service_tier
    for (const { delta, finish_reason, index, logprobs, stop_reason } of chunk.choices) {
      const choice = this.#choice(index)
      this.#addDelta(choice, delta)
      if (finish_reason !== undefined && finish_reason !== null) choice.finishReason = finish_reason
      if (stop_reason !== undefined) choice.stopReason = stop_reason
      if (logprobs !== undefined && logprobs !== null) addLogprobs((choice.logprobs ??= {}), logprobs)
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
      ...(this.#fingerprint === undefined ? {} : { system_fingerprint: this.#fingerprint }),
      ...(this.#serviceTier === undefined ? {} : { service_tier: this.#serviceTier })
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
        stopReason: undefined,
        logprobs: undefined
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
    if (delta.function_call !== undefined && delta.function_call !== null)
      addToCall((choice.functionCall ??= newCall()), delta.function_call)
    if (delta.tool_calls === undefined || delta.tool_calls === null) return
    for (const piece of delta.tool_calls) {
      choice.toolCalls ??= new Map()
      let call = choice.toolCalls.get(piece.index)
      if (call === undefined) choice.toolCalls.set(piece.index, (call = newCall()))
      call.id = firstText(call.id, piece.id)
      call.type = firstText(call.type, piece.type)
      if (piece.function !== undefined && piece.function !== null) addToCall(call, piece.function)
    }
  }
}
