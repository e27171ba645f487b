/**
 * What a model says to a request: its tokens, and the pieces of the message that each of them adds.
 *
 * @since 0.1.0
 */
import type { ChatRequest } from "./ChatRequest.ts"
import { maxTokens } from "./ChatRequest.ts"
import { type Delta, type Grammar, MessageReader } from "./MessageReader.ts"
import * as ModelText from "./ModelText.ts"
import type { Profile } from "./Profile.ts"
import * as Tokenizer from "./Tokenizer.ts"

/**
 * Text to ids and back. One character may take several ids.
 *
 * @category models
 * @since 0.1.0
 */
export interface TokenCodec {
  /** The ids of a text, in which the texts of special tokens stand for these tokens. */
  readonly encode: (text: string) => ReadonlyArray<number>
  /** The ids of a text in which nothing stands for a special token. */
  readonly encodePlain: (text: string) => ReadonlyArray<number>
  /** Decodes ids one by one: nothing inside a character, and the character at its last byte. Control tokens have no text. */
  readonly decoder: () => { readonly push: (id: number) => string }
  /** The bytes of a token; those of a control token are its name. */
  readonly bytes: (id: number) => Uint8Array
  readonly isControl: (id: number) => boolean
  /** The token that ends an answer. */
  readonly end: number
  /** One more than the greatest id. */
  readonly size: number
}

/**
 * One generated token. `text` is what it makes readable: nothing inside a character, and the whole character at its last byte.
 *
 * @category models
 * @since 0.1.0
 */
export interface Token {
  readonly id: number
  readonly text: string
  readonly logprob: number
}

/**
 * One token, and what it adds to the message: often one piece, nothing while a parser waits, two where a token ends one part and begins
 * the next.
 *
 * @category models
 * @since 0.1.0
 */
export interface Step {
  readonly token: Token
  readonly says: ReadonlyArray<Delta>
  /** The token has text that is held back: half a character, or what may be the start of a stop string. */
  readonly isHeld: boolean
  /** It counts as a token of the reasoning. */
  readonly isReasoning: boolean
}

/** @since 0.1.0 */
export type Finish = "stop" | "length" | "tool_calls" | "abort"

/**
 * One choice: its tokens in order, with the end token if it came to that.
 *
 * @category models
 * @since 0.1.0
 */
export interface Choice {
  readonly steps: Steps
  readonly finish: Finish
  /** The stop string or the stop token that ended it. */
  readonly stopReason: number | string | null
}

/**
 * An answer, ready to be rendered whole or as chunks.
 *
 * @category models
 * @since 0.1.0
 */
export interface Answer {
  readonly id: string
  /** Seconds since 1970. */
  readonly created: number
  readonly model: string
  readonly promptTokens: ReadonlyArray<number>
  readonly choices: ReadonlyArray<Choice>
}

/**
 * Where a generation ends.
 *
 * @category models
 * @since 0.1.0
 */
export interface Limits {
  /** At least 1. */
  readonly maxTokens: number
  /** Neither the end token nor a stop string counts before so many tokens. */
  readonly minTokens: number
  readonly stop: ReadonlyArray<string>
  readonly stopTokens: ReadonlyArray<number>
  /** The stop string stays in the text. */
  readonly includeStop: boolean
  /** The end token does not end the answer. */
  readonly ignoreEnd: boolean
}

/**
 * Tokens with the text that each of them releases, and how the generation ended.
 *
 * @category models
 * @since 0.1.0
 */
export interface Generated {
  readonly ids: ReadonlyArray<number>
  /** For each token, the text that it makes readable. */
  readonly said: ReadonlyArray<string>
  /** For each token, the text that leaves the server with it. */
  readonly texts: ReadonlyArray<string>
  readonly finish: "stop" | "length"
  readonly stopReason: number | string | null
}

// A number from 0 to 1 that depends on nothing but its arguments.
const noise = (...values: ReadonlyArray<number>): number => {
  let hash = 0x811c9dc5
  for (const value of values) hash = Math.imul(hash ^ value, 0x01000193) ^ (hash >>> 15)
  return (Math.imul(hash ^ (hash >>> 13), 0x5bd1e995) >>> 0) / 0x1_0000_0000
}

/**
 * The logarithm of the probability that a token is said to have at a place: near 0, as of a model that is sure.
 *
 * @category tokens
 * @since 0.1.0
 */
export const logprobOf = (id: number, place: number): number => -0.0005 - 0.02 * noise(id, place)

// The index `count` code points before the end.
const before = (text: string, count: number): number => {
  let at = text.length
  for (let left = count; left > 0 && at > 0; left--) at -= at > 1 && (text.charCodeAt(at - 1) & 0xfc00) === 0xdc00 ? 2 : 1
  return at
}

/**
 * Generates `ids` until one of the limits ends them. Without an end token among `ids`, the last of them is the last token.
 *
 * Text that may be the start of a stop string is held back until it is known not to be: one code point less than the longest.
 *
 * @category generation
 * @since 0.1.0
 */
export const generate = (ids: Iterable<number>, codec: TokenCodec, limits: Limits): Generated => {
  const decoder = codec.decoder()
  const hold = limits.includeStop ? 0 : Math.max(0, ...limits.stop.map((stop) => [...stop].length - 1))
  const watches = limits.stop.length > 0
  const made: Array<number> = []
  const said: Array<string> = []
  const texts: Array<string> = []
  let text = ""
  let released = 0
  const release = (end: number) => {
    texts.push(text.slice(released, Math.max(released, end)))
    released = Math.max(released, end)
  }
  const finish = (finish: Generated["finish"], stopReason: Generated["stopReason"]): Generated => {
    if (watches) release(text.length)
    return { ids: made, said, texts, finish, stopReason }
  }
  for (const id of ids) {
    if (id === codec.end && (limits.ignoreEnd || made.length < limits.minTokens)) continue
    const piece = decoder.push(id)
    const isStop = limits.stopTokens.includes(id) && made.length >= limits.minTokens
    const shown = isStop && !limits.includeStop ? "" : piece
    made.push(id)
    said.push(piece)
    if (watches) text += shown
    else texts.push(shown)
    if (id === codec.end) return finish("stop", null)
    if (isStop) return finish("stop", id)
    if (watches && made.length >= limits.minTokens && piece !== "") {
      for (const stop of limits.stop) {
        const at = text.indexOf(stop, Math.max(0, text.length - piece.length - stop.length + 1))
        if (at < 0) continue
        text = text.slice(0, limits.includeStop ? at + stop.length : at)
        return finish("stop", stop)
      }
    }
    if (made.length >= limits.maxTokens) return finish("length", null)
    if (watches) release(before(text, hold))
  }
  if (watches) texts.push((texts.pop() ?? "") + text.slice(released))
  return { ids: made, said, texts, finish: "stop", stopReason: null }
}

const tokenAt = ({ said }: Generated, id: number, at: number): Token => ({ id, text: said[at] ?? "", logprob: logprobOf(id, at) })

/**
 * The tokens of what was generated, from one place up to another.
 *
 * @category getters
 * @since 0.1.0
 */
export const tokensOf = (generated: Generated, from: number, to: number): ReadonlyArray<Token> =>
  generated.ids.slice(from, to).map((id, index) => tokenAt(generated, id, from + index))

/**
 * The first tokens of what was generated.
 *
 * @category combinators
 * @since 0.1.0
 */
export const cut = (generated: Generated, count: number): Generated => ({
  ...generated,
  ids: generated.ids.slice(0, count),
  said: generated.said.slice(0, count),
  texts: generated.texts.slice(0, count),
  stopReason: null
})

/**
 * Generated tokens, read as a message: anew with each iteration, so that thousands of answers that wait for their time take little memory.
 *
 * @category generation
 * @since 0.1.0
 */
export class Steps implements Iterable<Step> {
  readonly length: number
  readonly #generated: Generated
  readonly #grammar: Grammar
  readonly #codec: TokenCodec
  #counts: { readonly called: number; readonly reasoning: number } | undefined

  constructor(generated: Generated, grammar: Grammar, codec: TokenCodec, length = generated.ids.length) {
    this.#generated = generated
    this.#grammar = grammar
    this.#codec = codec
    this.length = Math.min(length, generated.ids.length)
  }

  /** The first of them. */
  first(count: number): Steps {
    return new Steps(this.#generated, this.#grammar, this.#codec, count)
  }

  /** The number of calls. */
  get called(): number {
    return this.#count().called
  }

  /** Tokens of the reasoning. */
  get reasoningTokens(): number {
    return this.#count().reasoning
  }

  [Symbol.iterator](): Generator<Step, void> {
    return this.#read(new MessageReader(this.#grammar))
  }

  *#read(reader: MessageReader): Generator<Step, void> {
    const { ids, texts } = this.#generated
    const last = ids.length - 1
    for (const [at, id] of ids.entries()) {
      if (at >= this.length) return
      const text = texts[at] ?? ""
      const token = tokenAt(this.#generated, id, at)
      const isHeld = text === "" && at !== last && !this.#codec.isControl(token.id)
      const said = reader.push(text)
      const isReasoning = said.some(({ kind }) => kind === "reasoning") || (isHeld && reader.isReasoning)
      yield { token, says: at === last ? [...said, ...reader.end()] : said, isHeld, isReasoning }
    }
  }

  #count() {
    if (this.#counts !== undefined) return this.#counts
    const reader = new MessageReader(this.#grammar)
    let reasoning = 0
    const isPlain = this.#grammar.calls === "none" && this.#grammar.reasoning === "none"
    if (!isPlain) for (const { isReasoning } of this.#read(reader)) if (isReasoning) reasoning++
    return (this.#counts = { called: reader.called, reasoning })
  }
}

const utf8 = new TextEncoder()

/**
 * The tokens of `Tokenizer`.
 *
 * @category tokens
 * @since 0.1.0
 */
export const codec: TokenCodec = {
  encode: Tokenizer.encodeSpecial,
  encodePlain: Tokenizer.encode,
  decoder: () => new Tokenizer.Decoder(),
  bytes: (id) => (id < 256 ? Uint8Array.of(id) : utf8.encode(Tokenizer.decode([id], true))),
  isControl: Tokenizer.isControl,
  end: Tokenizer.special.messageEnd,
  size: Tokenizer.vocabularySize
}

/**
 * How the server reads what its model says to a request.
 *
 * @category getters
 * @since 0.1.0
 */
export const grammarOf = (request: ChatRequest, profile: Profile): Grammar => {
  const { calls } = profile
  const chosen = request.tool_choice ?? ((request.tools ?? []).length > 0 ? "auto" : "none")
  const isNamed = typeof chosen === "object"
  const format =
    chosen === "none" || !calls.isParsed ? "none" : chosen === "auto" || calls.forced === "native" ? "native" : isNamed ? "bare" : "json"
  return {
    reasoning: ModelText.reasons(request, profile) ? profile.reasoning : "none",
    calls: format,
    tool: isNamed ? chosen.function.name : undefined,
    callsEndReasoning: profile.callsEndReasoning,
    callsFollowReasoning: calls.followReasoning && request.stream === true,
    lateArguments: calls.isLate && request.stream === true,
    trimsAroundCalls: calls.trims || request.stream !== true
  }
}

const finishOf = (request: ChatRequest, profile: Profile, generated: Generated, called: number): Finish => {
  const { calls } = profile
  const isStreamed = request.stream === true
  const chosen = request.tool_choice
  if (generated.finish === "length") {
    if (called === 0 || !isStreamed) return "length"
    return typeof chosen === "object" && chosen !== null
      ? calls.namedCut
      : chosen === "required"
        ? calls.finish.streamedRequired
        : calls.cut
  }
  if (called === 0) return "stop"
  if (chosen === "required") return isStreamed ? calls.finish.streamedRequired : calls.finish.required
  if (typeof chosen === "object" && chosen !== null) return isStreamed ? calls.finish.streamedNamed : calls.finish.named
  return "tool_calls"
}

/**
 * What a server needs to answer.
 *
 * @category models
 * @since 0.1.0
 */
export interface Speaker extends ModelText.Voice {
  /** Prompt and answer together, in tokens. */
  readonly maxModelLen: number
}

/**
 * The limits of a request, with so many tokens of the prompt.
 *
 * @category getters
 * @since 0.1.0
 */
export const limitsOf = (request: ChatRequest, promptTokens: number, maxModelLen: number): Limits => ({
  maxTokens: maxTokens(request) ?? Math.max(1, maxModelLen - promptTokens),
  minTokens: request.min_tokens ?? 0,
  stop: typeof request.stop === "string" ? [request.stop] : (request.stop ?? []),
  stopTokens: request.stop_token_ids ?? [],
  includeStop: request.include_stop_str_in_output === true,
  ignoreEnd: request.ignore_eos === true
})

/**
 * Answers a request.
 *
 * @category generation
 * @since 0.1.0
 */
export const answer = (request: ChatRequest, speaker: Speaker, head: Pick<Answer, "id" | "created" | "model" | "promptTokens">): Answer => {
  const { codec, profile } = speaker
  const limits = limitsOf(request, head.promptTokens.length, speaker.maxModelLen)
  const grammar = grammarOf(request, profile)
  const choices = Array.from({ length: Math.min(request.n ?? 1, profile.maxChoices) }, (_, index): Choice => {
    const generated = generate(ModelText.endless(request, speaker, index), codec, limits)
    const steps = new Steps(generated, grammar, codec)
    return {
      steps,
      // How many calls there are is known when all was read, which may be long after the answer has begun.
      get finish() {
        return finishOf(request, profile, generated, steps.called)
      },
      stopReason: generated.stopReason
    }
  })
  return { ...head, choices }
}
