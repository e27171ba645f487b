/**
 * What a client got of a stream, and the ids of the tokens that made it: what another replica needs to go on with it.
 */
import * as Predicate from "effect/Predicate"
import { natural } from "./TokenCounts.ts"

/** A chunk of a stream, as parsed JSON. */
export type Chunk = Readonly<Record<string, unknown>>

/** A tool call that the client got, or its beginning. */
export interface SentCall {
  id: string
  arguments: string
}

/** A place from which the ids of a choice can be gone on with: their text came. */
export interface Seam {
  readonly ids: number
  /** Code points of content that had been sent. */
  readonly points: number
  readonly reasoningTokens: number
}

// What is kept of one stream. A longer one is not carried on.
const maxIds = 262_144
const maxText = 4 * 1024 * 1024
const maxSeams = 4096

const textOf = (value: unknown): string => (typeof value === "string" ? value : "")

/** The objects of a list. */
export const objectsOf = (value: unknown): ReadonlyArray<Chunk> => (Array.isArray(value) ? value.filter(Predicate.isObject) : [])

const codePoints = (text: string): number => {
  let count = 0
  for (let at = 0; at < text.length; at++) if ((text.charCodeAt(at) & 0xfc00) !== 0xdc00) count++
  return count
}

const reasoningNames = ["reasoning", "reasoning_content"] as const

/** The reasoning in a delta. */
export const reasoningOf = (delta: Chunk): string => textOf(delta["reasoning"]) || textOf(delta["reasoning_content"])

/** One choice of a stream. */
export class ChoiceTranscript {
  hasRole = false
  content = ""
  reasoning = ""
  readonly calls: Array<SentCall> = []
  /** Names of the members that have the reasoning. */
  reasoningNames: ReadonlyArray<string> = ["reasoning"]
  /** Entries of log probabilities. */
  logprobs = 0
  isFinished = false
  ids: Array<number> = []
  /** Whether every chunk with text came with its ids. */
  hasIds = true
  /** Seams in their order, the last one alone unless `keepsSeams`. */
  seams: Array<Seam> = []
  readonly #keepsSeams: boolean
  #points = 0

  constructor(keepsSeams: boolean) {
    this.#keepsSeams = keepsSeams
  }

  /** Code points of content. */
  get points(): number {
    return this.#points
  }

  get isVisible(): boolean {
    return this.content !== "" || this.reasoning !== "" || this.calls.length > 0
  }

  get isTooLong(): boolean {
    return this.ids.length > maxIds || this.content.length + this.reasoning.length > maxText
  }

  /** Adds what a chunk told the client. Its ids are added with `addIds`. */
  addDelta(choice: Chunk): void {
    const delta: Chunk = Predicate.isObject(choice["delta"]) ? choice["delta"] : {}
    this.hasRole ||= typeof delta["role"] === "string"
    const content = textOf(delta["content"])
    this.content += content
    this.#points += codePoints(content)
    const names = reasoningNames.filter((name) => textOf(delta[name]) !== "")
    if (names.length > 0) this.reasoningNames = names
    this.reasoning += reasoningOf(delta)
    for (const piece of objectsOf(delta["tool_calls"])) {
      const call = (this.calls[natural(piece["index"])] ??= { id: "", arguments: "" })
      call.id ||= textOf(piece["id"])
      if (Predicate.isObject(piece["function"])) call.arguments += textOf(piece["function"]["arguments"])
    }
    if (Predicate.isObject(choice["logprobs"])) this.logprobs += objectsOf(choice["logprobs"]["content"]).length
    this.isFinished ||= typeof choice["finish_reason"] === "string" && choice["finish_reason"] !== ""
  }

  /** Adds the ids of a chunk. Ids after which text came are a seam: ids inside a character are none. */
  addIds(value: unknown, hasText: boolean, reasoningTokens: number): void {
    if (Array.isArray(value)) for (const id of value) this.ids.push(Number(id))
    else if (hasText) this.hasIds = false
    if (!hasText) return
    if (!this.#keepsSeams || this.seams.length >= maxSeams) this.seams.shift()
    this.seams.push({ ids: this.ids.length, points: this.#points, reasoningTokens })
  }

  /** Forgets the ids, because the answer is made again. */
  forgetIds(): void {
    this.ids = []
    this.hasIds = true
    this.seams = []
  }
}

/** One stream. */
export class Transcript {
  /** Members of the first chunk that every later one repeats. */
  head: { readonly id: unknown; readonly created: unknown } | undefined = undefined
  /** The last usage object. */
  usage: Chunk | undefined = undefined
  /** Whether the event of the usage alone came. */
  hasLastUsage = false
  readonly #choices = new Map<number, ChoiceTranscript>()
  readonly #keepsSeams: boolean

  /** `keepsSeams`: the text lags behind the ids, so that earlier seams are needed. */
  constructor(keepsSeams: boolean) {
    this.#keepsSeams = keepsSeams
  }

  get choices(): Iterable<ChoiceTranscript> {
    return this.#choices.values()
  }

  /** A choice by its index. */
  choice(index: number): ChoiceTranscript {
    const known = this.#choices.get(index)
    if (known !== undefined) return known
    const choice = new ChoiceTranscript(this.#keepsSeams)
    this.#choices.set(index, choice)
    return choice
  }

  get isBegun(): boolean {
    return this.#choices.size > 0
  }

  /** Whether the client saw something of the answer. The role alone is nothing. */
  get isVisible(): boolean {
    return [...this.choices].some((choice) => choice.isVisible)
  }

  get isTooLong(): boolean {
    return [...this.choices].some((choice) => choice.isTooLong)
  }

  get promptTokens(): number | undefined {
    return this.usage === undefined ? undefined : natural(this.usage["prompt_tokens"])
  }

  get reasoningTokens(): number {
    const details = this.usage?.["completion_tokens_details"]
    return Predicate.isObject(details) ? natural(details["reasoning_tokens"]) : 0
  }

  /** Adds a chunk that goes to the client as it is. */
  add(chunk: Chunk): void {
    this.addHead(chunk)
    for (const choice of objectsOf(chunk["choices"])) {
      const transcript = this.choice(natural(choice["index"]))
      transcript.addDelta(choice)
      transcript.addIds(choice["token_ids"], hasText(choice), this.reasoningTokens)
    }
  }

  /** Adds the members of a chunk that do not belong to a choice. */
  addHead(chunk: Chunk): void {
    this.head ??= { id: chunk["id"], created: chunk["created"] }
    if (!Predicate.isObject(chunk["usage"])) return
    this.usage = chunk["usage"]
    this.hasLastUsage ||= objectsOf(chunk["choices"]).length === 0
  }

  /** Usage after `completion` tokens, of which `reasoning` were reasoning, in the form of the first replica's. */
  usageOf(completion: number, reasoning: number): Chunk {
    const prompt = this.promptTokens ?? 0
    const details = this.usage?.["completion_tokens_details"]
    return {
      ...this.usage,
      prompt_tokens: prompt,
      total_tokens: prompt + completion,
      completion_tokens: completion,
      ...(Predicate.isObject(details) ? { completion_tokens_details: { ...details, reasoning_tokens: reasoning } } : {})
    }
  }
}

/** Whether a chunk's choice tells something. */
export const hasText = ({ delta }: Chunk): boolean =>
  Predicate.isObject(delta) && (textOf(delta["content"]) !== "" || reasoningOf(delta) !== "" || objectsOf(delta["tool_calls"]).length > 0)
