/**
 * Folds the chunks of a stream into the completion that the same request returns without streaming.
 *
 * @since 0.1.0
 */
import * as Predicate from "effect/Predicate"
import { Anomalies, type Repair } from "./Anomaly.ts"
import type {
  ChatCompletion,
  ChatCompletionChoice,
  ChatCompletionChunk,
  ChatCompletionDelta,
  ChatMessageResponse,
  CompletionUsage,
  FinishReason,
  ToolCallDelta
} from "./ChatCompletion.ts"
import type { Continued } from "./stream/chunkTemplate.ts"
import { Fragments } from "./stream/fragments.ts"
import { CallText, nameOf, ToolCalls, unplaced } from "./stream/toolCalls.ts"

type ChunkChoice = ChatCompletionChunk["choices"][number]
type Fields = Readonly<Record<string, unknown>>

class Choice {
  readonly index: number
  role: string | undefined = undefined
  readonly texts: { [Name in "content" | "reasoning" | "reasoning_content" | "refusal"]?: string | undefined } = {}
  functionCall: CallText | undefined = undefined
  toolCalls: ToolCalls | undefined = undefined
  finishReason: FinishReason | undefined = undefined
  stopReason: string | number | null | undefined = undefined
  /** Fields of the deltas without a rule of their own. */
  readonly fragments = new Fragments()
  /** Fields of the choice that arrive in fragments. */
  readonly lists = new Fragments()
  /** Fields of the choice without a rule of their own: the last value. */
  readonly rest = new Map<string, unknown>()

  constructor(index: number) {
    this.index = index
  }

  add(part: ChunkChoice) {
    const fields = part as unknown as Fields
    for (const name in fields) {
      switch (name) {
        case "index":
          break
        case "delta":
          this.#addDelta(part.delta)
          break
        case "finish_reason":
          if (this.finishReason !== "abort") this.finishReason = part.finish_reason || this.finishReason
          break
        case "stop_reason":
          if (part.stop_reason !== undefined) this.stopReason = part.stop_reason ?? this.stopReason ?? null
          break
        case "logprobs":
        case "token_ids":
          this.lists.add(name, part[name])
          break
        default:
          if (Predicate.isNotNullish(fields[name])) this.rest.set(name, fields[name])
      }
    }
  }

  addText(name: keyof Choice["texts"], text: string) {
    this.texts[name] = (this.texts[name] ?? "") + text
  }

  #addDelta(delta: ChatCompletionDelta) {
    const fields = delta as unknown as Fields
    for (const name in fields) {
      switch (name) {
        case "role":
          this.role ||= delta.role ?? undefined
          break
        case "content":
        case "reasoning":
        case "reasoning_content":
        case "refusal": {
          const text = delta[name]
          if (Predicate.isNotNullish(text)) this.addText(name, text)
          break
        }
        case "function_call":
          if (Predicate.isNotNullish(delta.function_call)) {
            this.functionCall ??= new CallText()
            this.functionCall.add(delta.function_call)
          }
          break
        case "tool_calls":
          break
        case "annotations":
          // A single annotation is accepted in place of a list.
          this.fragments.add(name, Predicate.isObject(delta.annotations) ? [delta.annotations] : delta.annotations)
          break
        default:
          this.fragments.add(name, fields[name])
      }
    }
  }

  /** What arrived of a field of the message, not joined. */
  said(name: string): unknown {
    return (this.texts as Fields)[name] ?? (name === "function_call" ? this.functionCall : this.fragments.has(name))
  }

  get #message(): ChatMessageResponse {
    const calls = this.toolCalls?.whole ?? []
    const { content } = this.texts
    const isNull = content === "" && (calls[0] ?? this.functionCall ?? (this.texts.reasoning || this.texts.reasoning_content))
    return {
      role: (this.role || "assistant") as "assistant",
      ...this.texts,
      content: isNull ? null : (content ?? null),
      ...(this.functionCall === undefined ? {} : { function_call: this.functionCall.text }),
      ...(calls.length === 0 ? {} : { tool_calls: calls }),
      ...this.fragments.joined
    }
  }

  get whole(): ChatCompletionChoice {
    return {
      ...Object.fromEntries(this.rest),
      ...this.lists.joined,
      index: this.index,
      message: this.#message,
      finish_reason: this.finishReason ?? null,
      ...(this.stopReason === undefined ? {} : { stop_reason: this.stopReason })
    }
  }
}

/**
 * State of the fold. `completion` can be read at any time.
 *
 * @example
 * ```ts
 * import { ChatCompletionAccumulator } from "@paradigm-effect/core/ChatCompletionAccumulator"
 *
 * const accumulator = new ChatCompletionAccumulator()
 * const chunk = { id: "chatcmpl-1", object: "chat.completion.chunk", created: 1700000000, model: "alfred" }
 * accumulator.add({ ...chunk, choices: [{ index: 0, delta: { role: "assistant", content: "Hel" } }] })
 * accumulator.add({ ...chunk, choices: [{ index: 0, delta: { content: "lo" }, finish_reason: "stop" }] })
 * console.log(accumulator.completion?.choices[0]?.message.content) // => Hello
 * ```
 *
 * @category folding
 * @since 0.1.0
 */
export class ChatCompletionAccumulator {
  /** The number of chunks that were added. */
  chunks = 0
  /** The last usage. */
  usage: CompletionUsage | undefined = undefined
  /** Deviations of the response from the contract. */
  readonly anomalies = new Anomalies()
  // Some servers send a first chunk with empty values. The first value that is not empty is kept.
  readonly #head: Record<string, unknown> = { id: "", object: "chat.completion", created: 0, model: "" }
  /** Fields of the chunks without a rule of their own: the last value. */
  readonly #rest = new Map<string, unknown>()
  readonly #choices = new Map<number, Choice>()

  /**
   * Adds a chunk. Returns it with the tool calls corrected: calls that have the same index get different ones, a call that ends without an
   * id gets a generated one, and arguments that arrive whole a second time are removed. Returns the chunk itself when there is nothing to correct.
   */
  add(chunk: ChatCompletionChunk): ChatCompletionChunk {
    this.chunks++
    const fields = chunk as unknown as Fields
    for (const name in fields) {
      switch (name) {
        case "object":
        case "choices":
          break
        case "id":
        case "created":
        case "model":
          this.#head[name] ||= fields[name]
          break
        case "usage":
          this.usage = chunk.usage ?? this.usage
          break
        default:
          if (Predicate.isNotNullish(fields[name])) this.#rest.set(name, fields[name])
      }
    }
    let corrected: Array<ChunkChoice> | undefined
    for (let at = 0; at < chunk.choices.length; at++) {
      const part = chunk.choices[at] as ChunkChoice
      const added = this.#addChoice(part, at)
      if (added !== part) (corrected ??= [...chunk.choices])[at] = added
    }
    return corrected === undefined ? chunk : { ...chunk, choices: corrected }
  }

  /**
   * Adds a chunk that differs from an earlier one in a text alone.
   *
   * @internal
   */
  continue({ field, index }: Continued, text: string): void {
    this.chunks++
    this.#choices.get(index)?.addText(field, text)
  }

  /** The completion so far; `undefined` before the first chunk. A choice that is not finished has the `finish_reason` null. */
  get completion(): ChatCompletion | undefined {
    if (this.chunks > 0)
      return {
        ...(this.#head as unknown as ChatCompletion),
        choices: this.#ordered.map((choice) => choice.whole),
        ...(this.usage === undefined ? {} : { usage: this.usage }),
        ...Object.fromEntries(this.#rest)
      }
  }

  /** Whether at least one choice began, and every choice that began has a finish reason. */
  get isFinished(): boolean {
    return this.#choices.size > 0 && this.#ordered.every(({ finishReason }) => finishReason)
  }

  /** The index and the finish reason of every choice that began, in the order of the indices. */
  get finishReasons(): ReadonlyArray<readonly [index: number, reason: FinishReason | undefined]> {
    return this.#ordered.map(({ finishReason, index }) => [index, finishReason])
  }

  /** The choice so far; `undefined` before it began. */
  choice(index: number): ChatCompletionChoice | undefined {
    return this.#choices.get(index)?.whole
  }

  /** @internal */
  begun(index: number): Choice | undefined {
    return this.#choices.get(index)
  }

  get #ordered(): ReadonlyArray<Choice> {
    return [...this.#choices.values()].sort((a, b) => a.index - b.index)
  }

  #addChoice(part: ChunkChoice, at: number): ChunkChoice {
    const { index } = part
    let choice = this.#choices.get(index)
    if (choice === undefined) this.#choices.set(index, (choice = new Choice(index)))
    choice.add(part)
    const sent = part.delta.tool_calls ?? []
    if (sent.length === 0 && (choice.toolCalls === undefined || choice.finishReason === undefined)) return part
    const calls = (choice.toolCalls ??= new ToolCalls())
    let fragments: Array<ToolCallDelta> | undefined
    for (let i = 0; i < sent.length; i++) {
      const fragment = sent[i] as ToolCallDelta
      const call = calls.add(fragment)
      let placed = fragment
      if (call.index !== fragment.index) {
        placed = { ...placed, index: call.index }
        if (fragment.index !== unplaced) this.#note("tool-call-index", at, i, "index", fragment.index)
      }
      if (call.isRepeated) {
        placed = { ...placed, function: { ...placed.function, arguments: "" } }
        this.#note("arguments", at, i, "function.arguments", fragment.function?.arguments)
      }
      if (placed !== fragment) (fragments ??= [...sent])[i] = placed
    }
    if (choice.finishReason !== undefined) {
      for (const [place, call] of calls.whole.entries()) if (!nameOf(call)) this.#note("tool-call-name", at, place, "function.name", "")
      for (const named of calls.identify(this.#head["id"] as string, index)) {
        this.#note("tool-call-id", at, named.index, "id")
        ;(fragments ??= [...sent]).push(named)
      }
    }
    return fragments === undefined ? part : { ...part, delta: { ...part.delta, tool_calls: fragments } }
  }

  #note(repair: Repair, choice: number, call: number, field: string, value?: unknown) {
    this.anomalies.add(repair, `choices[${choice}].delta.tool_calls[${call}].${field}`, typeof value, value)
  }
}
