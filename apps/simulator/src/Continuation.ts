/**
 * Answers to prompts of token ids: the prompt is read back, and the answer that it has begun is gone on with.
 *
 * @since 0.1.0
 */
import type { Limits, Speaker, TokenCodec } from "./Answer.ts"
import type { ChatRequest } from "./ChatRequest.ts"
import * as ChatTemplate from "./ChatTemplate.ts"
import * as ModelText from "./ModelText.ts"
import * as SeededRandom from "./SeededRandom.ts"
import * as Tokenizer from "./Tokenizer.ts"

// What else decides the answer, so it must be in the prompt.
const contextKeys = [
  "parallel_tool_calls",
  "reasoning_effort",
  "chat_template_kwargs",
  "response_format",
  "structured_outputs"
] as const satisfies ReadonlyArray<keyof ChatRequest>

const contextOf = (request: ChatRequest): Readonly<Record<string, unknown>> => {
  const { tool_choice, tools } = request
  const context: Record<string, unknown> = {}
  if (tools != null && tools.length > 0 && tool_choice !== "none") {
    context["tools"] = tools
    if (tool_choice != null && tool_choice !== "auto") context["tool_choice"] = tool_choice
  }
  for (const key of contextKeys) if (request[key] != null) context[key] = request[key]
  return context
}

/**
 * The prompt of a chat request.
 *
 * @category rendering
 * @since 0.1.0
 */
export const promptOf = (request: ChatRequest): Array<number> =>
  ChatTemplate.render(
    { messages: request.messages, context: contextOf(request) },
    { addGenerationPrompt: request.add_generation_prompt !== false, continueFinalMessage: request.continue_final_message === true }
  )

// The bytes of an unfinished character at the end.
const unfinished = (ids: ReadonlyArray<number>): number => {
  if (!Tokenizer.endsInside(ids)) return 0
  let from = ids.length - 1
  while (from > 0 && (ids[from] ?? 0) < 0xc0) from--
  return ids.length - from
}

/**
 * The rest of `answer` after the tokens that are `kept` of it: by ids, else by text, which other tokens may have. `undefined` if it does
 * not begin with them.
 *
 * @example
 * import * as Continuation from "./Continuation.ts"
 * import * as Tokenizer from "@paradigm-effect/simulator/Tokenizer"
 *
 * const answer = Tokenizer.encode("Good day")
 * Tokenizer.decode(Continuation.restOf(answer, answer.slice(0, 2)) ?? []) // "day"
 *
 * @category combinators
 * @since 0.1.0
 */
export const restOf = (answer: ReadonlyArray<number>, kept: ReadonlyArray<number>): ReadonlyArray<number> | undefined => {
  if (kept.every((id, at) => answer[at] === id)) return answer.slice(kept.length)
  const partial = unfinished(kept)
  const whole = partial === 0 ? kept : kept.slice(0, -partial)
  const begun = Tokenizer.decode(whole, true)
  const text = Tokenizer.decode(answer, true)
  if (!text.startsWith(begun)) return undefined
  const rest = Tokenizer.encodeSpecial(text.slice(begun.length))
  return kept.slice(whole.length).every((id, at) => rest[at] === id) ? rest.slice(partial) : undefined
}

// Words of one token each, so that the last tokens alone decide the next, however a text was divided.
const words = " the of and to in is you that it he was for on are as with his they I at be this have from".split(" ").slice(1)
const wordIds = words.flatMap((word) => Tokenizer.encode(` ${word}`))

/** A text goes on, word by word, with an end now and then. */
function* babble(prompt: ReadonlyArray<number>, seed: number | undefined, voice: ModelText.Voice): Generator<number, void> {
  let [before = 0, last = 0] = prompt.slice(-2)
  for (let place = 0; ; place++) {
    const random = SeededRandom.make(Math.imul(before + 1, 31) ^ last ^ (seed === undefined ? voice.seed : seed + place))()
    before = last
    last = random < 1 / 32 ? voice.codec.end : (wordIds[Math.floor(random * wordIds.length)] ?? voice.codec.end)
    yield last
  }
}

/**
 * The ids that the model says after a prompt, end token included.
 *
 * Without a seed the answer goes on from where the prompt breaks off. With a seed the random numbers start anew: the same seed repeats the
 * answer, and the seed plus the number of kept tokens goes on with it, as with vLLM. Answers that no seed decides (`echo`) go on always.
 *
 * @category generation
 * @since 0.1.0
 */
export const continued = (
  prompt: ReadonlyArray<number>,
  seed: number | undefined,
  speaker: Speaker,
  choice: number,
  limits: Pick<Limits, "maxTokens" | "minTokens" | "ignoreEnd">
): Iterable<number> => {
  const read = ChatTemplate.read(prompt)
  if (read === undefined) return babble(prompt, seed, speaker)
  const kept = read.kept.length
  const least = limits.minTokens > 0 ? limits.minTokens + kept : 0
  const most = limits.maxTokens + kept
  const said = (seed: number | undefined): ReadonlyArray<number> => {
    const request = { ...read.context, messages: read.messages, ...(seed === undefined ? {} : { seed }) } as ChatRequest
    const ids: Array<number> = []
    for (const id of ModelText.endless(request, speaker, choice)) {
      const isEnd = id === speaker.codec.end
      if (isEnd && (limits.ignoreEnd || ids.length < least)) continue
      ids.push(id)
      if (isEnd || ids.length >= most) break
    }
    return ids
  }
  if (read.kept.length === 0) return said(seed)
  const rest = restOf(said(seed === undefined ? undefined : seed - read.kept.length), read.kept)
  return rest ?? said(seed)
}

/**
 * Decodes the ids after a prompt. A prompt that ends inside a character is printed with the first character after it, as vLLM does (its
 * issue 48853).
 *
 * @category decoding
 * @since 0.1.0
 */
export const codecAfter = (prompt: ReadonlyArray<number>, codec: TokenCodec): TokenCodec => {
  if (!Tokenizer.endsInside(prompt)) return codec
  return {
    ...codec,
    decoder: () => {
      const decoder = codec.decoder()
      let before = ""
      for (const id of prompt) before += decoder.push(id)
      return {
        push: (id) => {
          const text = decoder.push(id)
          if (text === "") return ""
          const printed = before + text
          before = ""
          return printed
        }
      }
    }
  }
}
