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
  readonly steps: ReadonlyArray<Step>
  readonly finish: Finish
  /** The stop string or the stop token that ended it. */
  readonly stopReason: number | string | null
  /** Tokens of the reasoning. */
  readonly reasoningTokens: number
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
  readonly tokens: ReadonlyArray<Token>
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
  const tokens: Array<Token> = []
  const texts: Array<string> = []
  let text = ""
  let released = 0
  const release = (end: number) => {
    texts.push(text.slice(released, Math.max(released, end)))
    released = Math.max(released, end)
  }
  const finish = (finish: Generated["finish"], stopReason: Generated["stopReason"]): Generated => {
    release(text.length)
    return { tokens, texts, finish, stopReason }
  }
  for (const id of ids) {
    if (id === codec.end && (limits.ignoreEnd || tokens.length < limits.minTokens)) continue
    const said = decoder.push(id)
    const isStop = limits.stopTokens.includes(id) && tokens.length >= limits.minTokens
    tokens.push({ id, text: said, logprob: logprobOf(id, tokens.length) })
    if (id === codec.end) return finish("stop", null)
    if (!isStop || limits.includeStop) text += said
    if (isStop) return finish("stop", id)
    if (tokens.length >= limits.minTokens && said !== "") {
      for (const stop of limits.stop) {
        const at = text.indexOf(stop, Math.max(0, text.length - said.length - stop.length + 1))
        if (at < 0) continue
        text = text.slice(0, limits.includeStop ? at + stop.length : at)
        return finish("stop", stop)
      }
    }
    if (tokens.length >= limits.maxTokens) return finish("length", null)
    release(before(text, hold))
  }
  const [last = ""] = texts.splice(-1)
  texts.push(last + text.slice(released))
  return { tokens, texts, finish: "stop", stopReason: null }
}

/**
 * Reads generated tokens as a message.
 *
 * @category generation
 * @since 0.1.0
 */
export const read = (generated: Generated, grammar: Grammar, codec: TokenCodec) => {
  const reader = new MessageReader(grammar)
  const last = generated.tokens.length - 1
  const steps = generated.tokens.map((token, at): Step => {
    const text = generated.texts[at] ?? ""
    const isHeld = text === "" && at !== last && !codec.isControl(token.id)
    const said = reader.push(text)
    const isReasoning = said.some(({ kind }) => kind === "reasoning") || (isHeld && reader.isReasoning)
    return { token, says: at === last ? [...said, ...reader.end()] : said, isHeld, isReasoning }
  })
  return { steps, called: reader.called }
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
  if (typeof chosen === "object" && chosen !== null) return isStreamed ? calls.finish.streamedNamed : "stop"
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
    const { called, steps } = read(generated, grammar, codec)
    return {
      steps,
      finish: finishOf(request, profile, generated, called),
      stopReason: generated.stopReason,
      reasoningTokens: steps.filter(({ isReasoning }) => isReasoning).length
    }
  })
  return { ...head, choices }
}
