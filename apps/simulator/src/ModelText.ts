/**
 * The text of a model that is not there: an echo, seeded words, a scripted answer, calls of tools, values of a schema.
 *
 * @since 0.1.0
 */
import type { TokenCodec } from "./Answer.ts"
import { type ChatRequest, texts } from "./ChatRequest.ts"
import type { Profile } from "./Profile.ts"
import * as Script from "./Script.ts"
import * as SeededRandom from "./SeededRandom.ts"
import * as StructuredAnswer from "./StructuredAnswer.ts"
import * as ToolUse from "./ToolUse.ts"

/**
 * `echo` gives back the last user message; `random` gives words chosen by the seed, the choice and the conversation; `scripted` says what
 * the fixtures say, and echoes what they do not know; `replay` does not come here.
 *
 * @category models
 * @since 0.1.0
 */
export type Mode = "echo" | "random" | "scripted" | "replay"

/**
 * What decides the text of an answer, besides the request.
 *
 * @category models
 * @since 0.1.0
 */
export interface Voice {
  readonly profile: Profile
  readonly codec: TokenCodec
  readonly mode: Mode
  /** For requests that bring no seed of their own. */
  readonly seed: number
  readonly script: ReadonlyArray<Script.Fixture>
}

/** Text as somebody wrote it, or a marker that the model makes. */
interface Part {
  readonly text: string
  readonly isMarkup: boolean
}

const plain = (text: string): Part => ({ text, isMarkup: false })
const markup = (text: string): Part => ({ text, isMarkup: true })

// Some are more than one byte, or more than one UTF-16 unit, per character: a client that splits a stream carelessly shows it.
const vocabulary = (
  "the a of in and light rhythm river answer tokens slowly model gives each word its own place between two quiet stations north " +
  "window paper seven stones carry água naïve façade œuvre été übermut żółty слово λόγος 東京 言葉 한국어 🌊 👩‍🔬 € ½ where nothing was " +
  "said before, and so on. Then? Yes: again; once more!"
).split(" ")

const wordsOf = (random: () => number, count: number): string =>
  Array.from({ length: count }, () => vocabulary[Math.floor(random() * vocabulary.length)] ?? "the").join(" ")

const written = (args: unknown): string => (typeof args === "string" ? args : StructuredAnswer.writeJson(args ?? {}))

const callParts = (calls: ReadonlyArray<{ readonly name: string; readonly arguments?: unknown }>): ReadonlyArray<Part> =>
  calls.flatMap((call, at) => [
    ...(at > 0 ? [plain("\n")] : []),
    markup("<tool_call>"),
    plain(`\n{"name": ${JSON.stringify(call.name)}, "arguments": ${written(call.arguments)}}\n`),
    markup("</tool_call>")
  ])

const reasoningParts = (reasoning: string): ReadonlyArray<Part> => [markup("<think>"), plain(`\n${reasoning}\n`), markup("</think>")]
const gap = plain("\n\n")

const partsOf = (said: Script.Said): ReadonlyArray<Part> => {
  if (typeof said === "string") return [markup(said)]
  const reasoning = said.reasoning === undefined ? [] : [...reasoningParts(said.reasoning), gap]
  return [...reasoning, plain(said.content ?? ""), ...callParts(said.calls ?? [])]
}

/**
 * Whether the answer begins with reasoning: with a parser for it, unless the request says no.
 *
 * @category getters
 * @since 0.1.0
 */
export const reasons = ({ chat_template_kwargs, reasoning_effort }: ChatRequest, profile: Profile): boolean =>
  profile.reasoning !== "none" && reasoning_effort !== "none" && chat_template_kwargs?.["enable_thinking"] !== false

const lastText = (request: ChatRequest): string => {
  const said = texts(request)
  if (said.at(-1)?.role === "tool") return said.at(-1)?.text ?? ""
  return (said.findLast(({ role }) => role === "user") ?? said.at(-1))?.text ?? ""
}

// Calls as the server reads them: in the model's own format, or forced into a list or into bare arguments.
const forcedText = (calls: ReadonlyArray<ToolUse.CalledTool>, { tool_choice }: ChatRequest): string =>
  tool_choice === "required"
    ? StructuredAnswer.writeJson(calls.map(({ arguments: parameters, name }) => ({ name, parameters })))
    : written(calls[0]?.arguments)

const say = (request: ChatRequest, voice: Voice, index: number): ReadonlyArray<Part> => {
  const scripted = voice.mode === "scripted" ? Script.find(voice.script, request, index) : undefined
  if (scripted !== undefined) return partsOf(scripted)
  const { profile } = voice
  const prompt = lastText(request)
  const seed = `${request.seed ?? voice.seed} ${index} ${prompt}`
  const thought = reasons(request, profile) ? reasoningParts("The user wants an answer.") : []
  const random = SeededRandom.make(SeededRandom.hash(seed))
  const text = voice.mode === "random" ? wordsOf(random, 16 + Math.floor(random() * 48)) : prompt
  const constraint = StructuredAnswer.constraintOf(request, profile)
  if (constraint !== undefined) {
    return [...thought, plain(StructuredAnswer.write(constraint, text, seed) ?? StructuredAnswer.write(constraint, "", "0") ?? "")]
  }
  const calls = ToolUse.callsOf(request, seed)
  // What is free begins with the blank line that models write after their reasoning.
  const free = thought.length === 0 ? [] : [...thought, gap]
  if (calls.length === 0) return [...free, plain(text)]
  const isForced = request.tool_choice != null && request.tool_choice !== "auto"
  if (isForced && profile.calls.forced === "json") return [...thought, plain(forcedText(calls, request))]
  const first = !isForced && /\bfirst\b/i.test(prompt) ? [plain("I will look it up.\n")] : []
  return [...free, ...first, ...callParts(calls)]
}

/**
 * The ids that the model says to a request, without the end token. The same request, voice and choice give the same ids.
 *
 * A conversation that ends with the start of this very answer (`continue_final_message`) is gone on with.
 *
 * @category generation
 * @since 0.1.0
 */
export const ids = (request: ChatRequest, voice: Voice, index: number): ReadonlyArray<number> => {
  const { codec } = voice
  const parts = say(request, voice, index)
  const begun = request.continue_final_message === true ? (texts(request).at(-1)?.text ?? "") : ""
  const text = parts.map(({ text }) => text).join("")
  if (begun !== "" && text.startsWith(begun)) return codec.encode(text.slice(begun.length))
  return parts.flatMap((part) => (part.isMarkup ? codec.encode(part.text) : codec.encodePlain(part.text)))
}

/**
 * The same ids, then the end token, and words without end for requests that do not let it end there (`ignore_eos`, `min_tokens`).
 *
 * @category generation
 * @since 0.1.0
 */
export function* endless(request: ChatRequest, voice: Voice, index: number): Generator<number, void> {
  yield* ids(request, voice, index)
  const random = SeededRandom.make(SeededRandom.hash(`${request.seed ?? voice.seed} ${index} more`))
  for (;;) {
    yield voice.codec.end
    yield* voice.codec.encodePlain(` ${wordsOf(random, 8)}`)
  }
}
