// Completions and chunks as the content and the stream parts of the AI SDK.
import {
  InvalidResponseDataError,
  type JSONObject,
  type LanguageModelV4Content,
  type LanguageModelV4FinishReason,
  type LanguageModelV4ResponseMetadata,
  type LanguageModelV4StreamPart,
  type LanguageModelV4ToolCall,
  type LanguageModelV4Usage,
  type SharedV4ProviderMetadata
} from "@ai-sdk/provider"
import type { Anomaly } from "@paradigm-effect/core/Anomaly"
import type {
  ChatCompletion,
  ChatCompletionChoice,
  ChatCompletionChunk,
  CompletionUsage,
  FunctionCallDelta,
  ToolCall,
  ToolCallDelta
} from "@paradigm-effect/core/ChatCompletion"

const count = (value: number | null | undefined) => value ?? undefined

const difference = (total: number | undefined, part: number | undefined) =>
  total === undefined || part === undefined ? undefined : total - part

/** Converts usage. A count that the server did not report is `undefined`. */
export const toUsage = (usage: CompletionUsage | null | undefined): LanguageModelV4Usage => {
  const [input, output] = [count(usage?.prompt_tokens), count(usage?.completion_tokens)]
  const { cached_tokens, created_cache_tokens } = usage?.prompt_tokens_details ?? {}
  const reasoning = count(usage?.completion_tokens_details?.reasoning_tokens)
  const cacheRead = count(cached_tokens)
  return {
    inputTokens: { total: input, noCache: difference(input, cacheRead), cacheRead, cacheWrite: count(created_cache_tokens) },
    outputTokens: { total: output, text: difference(output, reasoning), reasoning },
    ...(usage === null || usage === undefined ? {} : { raw: usage as unknown as JSONObject })
  }
}

const finishReasons: Readonly<Record<string, LanguageModelV4FinishReason["unified"]>> = {
  stop: "stop",
  length: "length",
  content_filter: "content-filter",
  tool_calls: "tool-calls",
  function_call: "tool-calls",
  error: "error"
}

/** What a choice has, apart from its finish reason. */
interface Said {
  readonly calls: boolean
  readonly refusal: boolean
}

const toFinishReason = (raw: string | null | undefined, { calls, refusal }: Said): LanguageModelV4FinishReason => {
  const unified = finishReasons[raw ?? ""] ?? "other"
  // Servers end with `stop` after calls of a named tool, and after refusals.
  const isStop = unified === "stop"
  return { unified: isStop && calls ? "tool-calls" : isStop && refusal ? "content-filter" : unified, raw: raw ?? undefined }
}

/** The head of a completion or of a chunk. */
export const toMetadata = ({ created, id, model }: ChatCompletion | ChatCompletionChunk): LanguageModelV4ResponseMetadata => ({
  ...(id === "" ? {} : { id }),
  ...(created > 0 ? { timestamp: new Date(created * 1000) } : {}),
  ...(model === "" ? {} : { modelId: model })
})

const delivered = new Set(
  [
    "id object created model choices usage index message finish_reason",
    "role content reasoning reasoning_content refusal tool_calls function_call"
  ].flatMap((names) => names.split(" "))
)

// The fields that the AI SDK has no place for: log probabilities, token ids, timings and whatever the server adds.
const toProviderMetadata = (
  completion: ChatCompletion,
  choice: ChatCompletionChoice | undefined,
  anomalies: ReadonlyArray<Anomaly>
): SharedV4ProviderMetadata => {
  const fields = [completion, choice ?? {}, choice?.message ?? {}].flatMap((from) => Object.entries<unknown>({ ...from }))
  if (anomalies.length > 0) fields.push(["anomalies", anomalies])
  const others = Object.fromEntries(fields.filter(([name, value]) => !delivered.has(name) && value !== null))
  return { paradigm: others as JSONObject }
}

const nameless = (data: unknown) =>
  new InvalidResponseDataError({
    data,
    message: "The model called a tool without a name: the response has a tool call whose name never came"
  })

const toToolCall = (toolCallId: string, call: ToolCall): LanguageModelV4ToolCall => {
  const [name, input] =
    call.type === "custom" ? [call.custom.name, JSON.stringify(call.custom.input)] : [call.function.name, call.function.arguments]
  if (name === "") throw nameless(call)
  // A tool without parameters is called without arguments.
  return { type: "tool-call", toolCallId, toolName: name, input: input.trim() === "" ? "{}" : input }
}

const fromFunctionCall = (call: FunctionCallDelta | null | undefined): ReadonlyArray<ToolCall> =>
  call === null || call === undefined ? [] : [{ type: "function", function: { name: call.name ?? "", arguments: call.arguments ?? "" } }]

const callsOf = (choice: ChatCompletionChoice | undefined): ReadonlyArray<ToolCall> => [
  ...fromFunctionCall(choice?.message.function_call),
  ...(choice?.message.tool_calls ?? [])
]

/** What a completion says. */
export interface CompletionParts {
  readonly content: Array<LanguageModelV4Content>
  readonly finishReason: LanguageModelV4FinishReason
  readonly usage: LanguageModelV4Usage
  readonly providerMetadata: SharedV4ProviderMetadata
}

/** Converts a completion. Throws `InvalidResponseDataError` for a tool call without a name. */
export const toParts = (completion: ChatCompletion, anomalies: ReadonlyArray<Anomaly>, generateId: () => string): CompletionParts => {
  const [choice] = completion.choices
  const { content: text, reasoning, reasoning_content, refusal } = choice?.message ?? {}
  const content: Array<LanguageModelV4Content> = []
  const thought = reasoning || reasoning_content
  if (thought) content.push({ type: "reasoning", text: thought })
  for (const written of [text, refusal]) if (written) content.push({ type: "text", text: written })
  const calls = callsOf(choice)
  // The client completes missing ids, but the same server id gives the same ones in each step.
  for (const call of calls) content.push(toToolCall(call.id || generateId(), call))
  return {
    content,
    finishReason: toFinishReason(choice?.finish_reason, { calls: calls.length > 0, refusal: Boolean(refusal) }),
    usage: toUsage(completion.usage),
    providerMetadata: toProviderMetadata(completion, choice, anomalies)
  }
}

// A call whose fragments are arriving. It begins with its name: what came before is held.
interface StreamedCall {
  id: string
  held: string
  isBegun: boolean
}

// A legacy function call has no index.
const functionCallIndex = -1

/** Converts the chunks of one stream. Parts are given to `emit`. */
export class StreamParts {
  /** Whether there was any text, reasoning or call, or a raw chunk for a caller who asked for them. */
  hasOutput = false
  readonly #emit: (part: LanguageModelV4StreamPart) => void
  readonly #generateId: () => string
  readonly #includeRaw: boolean
  readonly #calls = new Map<number, StreamedCall>()
  #block: { readonly type: "text" | "reasoning"; readonly id: string } | undefined = undefined
  #choice: number | undefined = undefined
  #usage: CompletionUsage | null | undefined = undefined
  #isBegun = false

  constructor(emit: (part: LanguageModelV4StreamPart) => void, generateId: () => string, includeRaw: boolean) {
    this.#emit = emit
    this.#generateId = generateId
    this.#includeRaw = includeRaw
  }

  add(chunk: ChatCompletionChunk): void {
    if (this.#includeRaw) {
      this.#emit({ type: "raw", rawValue: chunk })
      this.hasOutput = true
    }
    if (!this.#isBegun) {
      this.#isBegun = true
      this.#emit({ type: "response-metadata", ...toMetadata(chunk) })
    }
    this.#usage = chunk.usage ?? this.#usage
    for (const { delta, index } of chunk.choices) {
      // A request asks for one choice.
      if (index !== (this.#choice ??= index)) continue
      this.#write("reasoning", delta.reasoning || delta.reasoning_content)
      this.#write("text", delta.content)
      this.#write("text", delta.refusal)
      if (delta.function_call) this.#call({ index: functionCallIndex, function: delta.function_call })
      for (const call of delta.tool_calls ?? []) this.#call(call)
    }
  }

  /** Ends the stream with the completion of all its chunks. */
  end(completion: ChatCompletion, anomalies: ReadonlyArray<Anomaly>): void {
    const choice = completion.choices.find(({ index }) => index === this.#choice)
    const calls = callsOf(choice)
    this.#endBlock()
    let failure: unknown
    // In the order of the completion's calls, whose arguments are the repaired ones.
    const streamed = [...this.#calls].sort(([a], [b]) => a - b).map(([, call]) => call)
    for (const [at, call] of calls.entries()) {
      const { id, isBegun } = streamed[at] ?? { id: call.id || this.#generateId(), isBegun: false }
      if (isBegun) this.#emit({ type: "tool-input-end", id })
      try {
        this.#emit(toToolCall(id, call))
      } catch (error) {
        failure ??= error
      }
    }
    if (failure !== undefined) this.#emit({ type: "error", error: failure })
    const said = { calls: calls.length > 0, refusal: Boolean(choice?.message.refusal) }
    this.#emit({
      type: "finish",
      finishReason:
        failure === undefined ? toFinishReason(choice?.finish_reason, said) : { unified: "error", raw: choice?.finish_reason ?? undefined },
      usage: toUsage(completion.usage),
      providerMetadata: toProviderMetadata(completion, choice, anomalies)
    })
  }

  /** Ends the stream with an error. `unified` says whether the server reported it (`error`) or the stream broke off (`interrupted`). */
  fail(error: unknown, unified: "error" | "interrupted", usage = this.#usage): void {
    this.#endBlock()
    for (const { id, isBegun } of this.#calls.values()) if (isBegun) this.#emit({ type: "tool-input-end", id })
    this.#emit({ type: "error", error })
    this.#emit({ type: "finish", finishReason: { unified, raw: undefined }, usage: toUsage(usage) })
  }

  #write(type: "text" | "reasoning", delta: string | null | undefined) {
    if (!delta) return
    if (this.#block?.type !== type) {
      this.#endBlock()
      this.#block = { type, id: this.#generateId() }
      this.#emit({ type: `${type}-start`, id: this.#block.id })
      this.hasOutput = true
    }
    this.#emit({ type: `${type}-delta`, id: this.#block.id, delta })
  }

  #endBlock() {
    if (this.#block === undefined) return
    this.#emit({ type: `${this.#block.type}-end`, id: this.#block.id })
    this.#block = undefined
  }

  #call({ custom, function: called, id, index }: ToolCallDelta) {
    let call = this.#calls.get(index)
    if (call === undefined) this.#calls.set(index, (call = { id: "", held: "", isBegun: false }))
    // The id of a call that has begun cannot change any more.
    if (!call.isBegun) call.id ||= id ?? ""
    const { name } = called ?? custom ?? {}
    const delta = call.held + (called?.arguments ?? custom?.input ?? "")
    if (!call.isBegun) {
      if (!name) {
        call.held = delta
        return
      }
      this.#endBlock()
      call.id ||= this.#generateId()
      call.isBegun = this.hasOutput = true
      call.held = ""
      this.#emit({ type: "tool-input-start", id: call.id, toolName: name, ...(custom ? { inputEncoding: "text" as const } : {}) })
    }
    if (delta !== "") this.#emit({ type: "tool-input-delta", id: call.id, delta })
  }
}
