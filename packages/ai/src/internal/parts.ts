// A completion, or the chunks of one, as parts of effect/ai.
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as AiError from "effect/ai/AiError"
import type * as LanguageModel from "effect/ai/LanguageModel"
import type * as Response from "effect/ai/Response"
import * as Tool from "effect/ai/Tool"
import type {
  ChatCompletion,
  ChatCompletionChoice,
  ChatCompletionChunk,
  ChatCompletionDelta,
  ChatMessageResponse,
  CompletionUsage,
  ToolCallDelta
} from "@paradigm-effect/core/ChatCompletion"
import { excerpt } from "@paradigm-effect/core/ParadigmError"
import type { ResponseInfo } from "@paradigm-effect/core/ParadigmClient"

/** A tool call with the text of its arguments. */
export interface CalledTool {
  readonly id: string
  readonly name: string
  readonly text: string
}

/** What parts of a response depend on. */
export type CallContext = Pick<LanguageModel.ProviderOptions, "tools" | "toolCallValidation">

type Head = Pick<ChatCompletion, "created" | "id" | "model">

/** The part that identifies the response. */
export const toMetadata = ({ created, id, model }: Head): Response.ResponseMetadataPartEncoded => ({
  type: "response-metadata",
  ...(id !== "" && { id }),
  ...(model !== "" && { modelId: model }),
  ...(created > 0 && created < 8.64e12 && { timestamp: new Date(created * 1000).toISOString() })
})

/** The reasoning of a message or of a delta. Servers name it in two ways. */
export const reasoningOf = ({ reasoning, reasoning_content }: ChatMessageResponse | ChatCompletionDelta): string =>
  reasoning || reasoning_content || ""

/** The calls of a message. A call without an id has the id "". */
export const callsOf = ({ function_call, tool_calls }: ChatMessageResponse): ReadonlyArray<CalledTool> => {
  const calls = (tool_calls ?? []).map((call) => ({
    id: call.id ?? "",
    ...("function" in call
      ? { name: call.function.name, text: call.function.arguments }
      : { name: call.custom.name, text: JSON.stringify({ input: call.custom.input }) })
  }))
  if (function_call === null || function_call === undefined || calls.length > 0) return calls
  return [{ id: "", name: function_call.name ?? "", text: function_call.arguments ?? "" }]
}

const endings: ReadonlyMap<unknown, string> = /* @__PURE__ */ new Map([
  ["length", "; the answer was cut off at the token limit (finish_reason length)"],
  ["content_filter", "; the answer was cut off by the content filter (finish_reason content_filter)"]
])

// JSON cannot represent every encoded value: a date, bytes, a missing value that is sent as null. The tool decodes the encoded value.
const toEncoded = (tool: Tool.Any, value: unknown): unknown => {
  if (Tool.isDynamic(tool) && tool.jsonSchema !== undefined) return value
  const codec = Schema.toCodecJson(Schema.toEncoded(tool.parametersSchema))
  return Option.getOrElse(Schema.decodeUnknownOption(codec)(value), () => value)
}

/** Converts a call. Throws a reason of an `AiError` if its tool is not in the toolkit, or if its arguments are not JSON. */
export const toCallPart = (
  { id, name, text }: CalledTool,
  finishReason: string | null | undefined,
  { toolCallValidation, tools }: CallContext
): Response.ToolCallPartEncoded => {
  const isDeferred = toolCallValidation === "deferred"
  if (name === "" && !isDeferred) throw new AiError.InvalidOutputError({ description: `the tool call ${id} has no name: ${excerpt(text)}` })
  const tool = tools.find((tool) => tool.name === name)
  if (tool === undefined && !isDeferred) {
    throw new AiError.ToolNotFoundError({ toolName: excerpt(name), availableTools: tools.map((tool) => tool.name) })
  }
  try {
    const value = Tool.unsafeSecureJsonParse(text.trim() === "" ? "{}" : text)
    return { type: "tool-call", id, name, params: tool === undefined ? value : toEncoded(tool, value) }
  } catch (error) {
    if (isDeferred) return { type: "tool-call", id, name, params: text }
    const problem = error instanceof Error ? error.message : String(error)
    const description = `the arguments are not JSON: ${problem}${endings.get(finishReason) ?? ""}`
    throw new AiError.ToolParameterValidationError({ toolName: name, description })
  }
}

const reasons: ReadonlyMap<string, Response.FinishReason> = /* @__PURE__ */ new Map([
  ["stop", "stop"],
  ["length", "length"],
  ["content_filter", "content-filter"],
  ["tool_calls", "tool-calls"],
  ["function_call", "tool-calls"],
  ["error", "error"]
])

const toReason = (choice: ChatCompletionChoice | undefined): Response.FinishReason => {
  const { finish_reason: sent, message } = choice ?? {}
  const reason = sent === null || sent === undefined ? "unknown" : (reasons.get(sent) ?? "other")
  if (reason !== "stop" || message === undefined) return reason
  if (message.refusal) return "content-filter"
  // Some servers end calls with `stop`.
  return callsOf(message).length > 0 ? "tool-calls" : reason
}

const difference = (total: number, part: number | null | undefined): number | undefined =>
  part === null || part === undefined || part > total ? undefined : total - part

const defined = <A>(members: Readonly<Record<string, A | null | undefined>>): Record<string, A> =>
  Object.fromEntries(Object.entries(members).flatMap(([name, value]) => (value === undefined || value === null ? [] : [[name, value]])))

const toUsage = (usage: CompletionUsage | null | undefined): Response.FinishPartEncoded["usage"] => {
  if (usage === null || usage === undefined) return { inputTokens: {}, outputTokens: {} }
  const { completion_tokens, completion_tokens_details, prompt_tokens, prompt_tokens_details } = usage
  const { cached_tokens: cacheRead, created_cache_tokens: cacheWrite } = prompt_tokens_details ?? {}
  const { reasoning_tokens: reasoning } = completion_tokens_details ?? {}
  return {
    inputTokens: defined({ total: prompt_tokens, uncached: difference(prompt_tokens, cacheRead), cacheRead, cacheWrite }),
    outputTokens: defined({ total: completion_tokens, text: difference(completion_tokens, reasoning), reasoning })
  }
}

/** The last part of a response, whose parts are those of one choice. Its metadata has the completion. */
export const toFinish = (
  completion: ChatCompletion,
  choice: ChatCompletionChoice | undefined,
  { headers, requestId, status }: ResponseInfo
): Response.FinishPartEncoded => {
  const { "set-cookie": _cookie, ...others } = headers
  return {
    type: "finish",
    reason: toReason(choice),
    usage: toUsage(completion.usage),
    response: { status, headers: defined(others) },
    // The completion is what JSON.parse returned, or was joined from that.
    metadata: { paradigm: { completion: completion as unknown as Schema.JsonObject, ...(requestId !== undefined && { requestId }) } }
  }
}

class StreamedCall {
  id = ""
  isStarted = false
  /** Arguments that came before the name. */
  pending = ""
}

type Block = "text" | "reasoning"
type Parts = ReadonlyArray<Response.StreamPartEncoded>

interface Delta {
  readonly type: `${Block | "tool-params"}-delta`
  readonly id: string
  delta: string
}

/**
 * Converts the chunks of a stream. Deltas that arrive in one network read are joined: `LanguageModel` decodes each part, which costs twice as much as
 * to read its chunk.
 */
export class StreamedParts {
  /** The beginning of the ids of blocks. */
  readonly #base: string
  readonly #calls = new Map<number, StreamedCall>()
  #choice: number | undefined = undefined
  #isBegun = false
  #block: { readonly type: Block; readonly id: string } | undefined = undefined
  #blocks = 0
  #out: Array<Response.StreamPartEncoded> = []
  /** The last part of `#out` if it is a delta. */
  #last: Delta | undefined = undefined

  /** `id` is an id that no other response has. */
  constructor(id: string) {
    this.#base = id
  }

  /** The number of ids that `add` may need, for calls without one. */
  lacking(chunks: ReadonlyArray<ChatCompletionChunk>): number {
    let count = 0
    for (const { choices } of chunks) {
      for (const { delta } of choices) {
        for (const { id, index } of delta.tool_calls ?? []) if (!id && !this.#calls.get(index)?.id) count++
      }
    }
    return count
  }

  /** Returns the parts of the chunks of one network read. Takes ids of calls from `ids`. */
  add(chunks: ReadonlyArray<ChatCompletionChunk>, ids: Array<string>): Parts {
    if (!this.#isBegun) this.#begin(chunks)
    for (const { choices } of chunks) {
      for (const { delta, index } of choices) {
        if (index !== (this.#choice ??= index)) continue
        this.#delta("reasoning", reasoningOf(delta))
        this.#delta("text", delta.content)
        this.#delta("text", delta.refusal)
        for (const fragment of delta.tool_calls ?? []) this.#fragment(fragment, ids)
      }
    }
    return this.#take()
  }

  /** The choice whose parts these are: the one that began first. A part has no index: further choices are only in the completion. */
  choiceOf({ choices }: ChatCompletion): ChatCompletionChoice | undefined {
    return choices.find(({ index }) => index === this.#choice)
  }

  /** Ends the open block. */
  close(): Parts {
    this.#end()
    return this.#take()
  }

  /** The calls of the whole message, with the ids of their parts. */
  callsOf(message: ChatMessageResponse): ReadonlyArray<CalledTool> {
    const begun = [...this.#calls].toSorted(([a], [b]) => a - b).map(([, call]) => call)
    return callsOf(message).map((call, at) => ({ ...call, id: begun[at]?.id || call.id }))
  }

  /** Ends the parameters of a call, if they began. */
  endOf({ id }: CalledTool): Parts {
    const isStarted = [...this.#calls.values()].some((call) => call.isStarted && call.id === id)
    return isStarted ? [{ type: "tool-params-end", id }] : []
  }

  #take(): Parts {
    const out = this.#out
    this.#out = []
    this.#last = undefined
    return out
  }

  #push(part: Response.StreamPartEncoded) {
    this.#out.push(part)
    this.#last = undefined
  }

  #pushDelta(type: Delta["type"], id: string, delta: string) {
    if (this.#last?.type === type && this.#last.id === id) this.#last.delta += delta
    else this.#out.push((this.#last = { type, id, delta }))
  }

  #begin(chunks: ReadonlyArray<ChatCompletionChunk>) {
    // Some servers send a first chunk with empty values.
    const head = chunks.find(({ choices, id }) => id !== "" || choices.length > 0)
    if (head === undefined) return
    this.#isBegun = true
    this.#push(toMetadata(head))
  }

  #end() {
    if (this.#block === undefined) return
    this.#push({ type: `${this.#block.type}-end`, id: this.#block.id })
    this.#block = undefined
  }

  #delta(type: Block, text: string | null | undefined) {
    if (!text) return
    if (this.#block?.type !== type) {
      this.#end()
      this.#block = { type, id: `${this.#base}_${this.#blocks++}` }
      this.#push({ type: `${type}-start`, id: this.#block.id })
    }
    this.#pushDelta(`${type}-delta`, this.#block.id, text)
  }

  #fragment(fragment: ToolCallDelta, ids: Array<string>) {
    const { custom, function: called, id, index } = fragment
    let call = this.#calls.get(index)
    if (call === undefined) this.#calls.set(index, (call = new StreamedCall()))
    call.id ||= id ?? ""
    call.pending += called?.arguments ?? custom?.input ?? ""
    if (!call.isStarted) {
      const name = called?.name ?? custom?.name
      // A call begins when its tool is known.
      if (!name) return
      call.isStarted = true
      call.id ||= ids.shift() ?? ""
      this.#end()
      this.#push({ type: "tool-params-start", id: call.id, name })
    }
    if (call.pending === "") return
    this.#pushDelta("tool-params-delta", call.id, call.pending)
    call.pending = ""
  }
}
