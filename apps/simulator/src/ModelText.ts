/**
 * The text of a model that is not there: an echo, seeded words, a scripted answer, calls of tools, values of a schema.
 *
 * @since 0.1.0
 */
import type { TokenCodec } from "./Answer.ts"
import { type ChatRequest, texts } from "./ChatRequest.ts"
import type { Profile } from "./Profile.ts"
import * as Script from "./Script.ts"

/**
 * `echo` gives back the last user message; `random` gives words chosen by the seed, the choice and the conversation; `scripted` says what
 * the fixtures say, and echoes what they do not know.
 *
 * @category models
 * @since 0.1.0
 */
export type Mode = "echo" | "random" | "scripted"

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

const hash = (text: string): number => {
  let value = 0x811c9dc5
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193)
  return value >>> 0
}

/**
 * Numbers from 0 to 1 that depend on the seed alone, the same on every runtime.
 *
 * @category generation
 * @since 0.1.0
 */
export const randomNumbers = (seed: string): (() => number) => {
  let state = hash(seed)
  return () => {
    state = (state + 0x9e3779b9) | 0
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad)
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97)
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 0x1_0000_0000
  }
}

const wordsOf = (random: () => number, count: number): string =>
  Array.from({ length: count }, () => vocabulary[Math.floor(random() * vocabulary.length)] ?? "the").join(" ")

const callPart = (name: string, args: unknown): ReadonlyArray<Part> => {
  const written = typeof args === "string" ? args : spaced(args ?? {})
  return [markup("<tool_call>"), plain(`\n{"name": ${JSON.stringify(name)}, "arguments": ${written}}\n`), markup("</tool_call>")]
}

/** JSON as models write it: with a blank after each comma and colon. */
const spaced = (value: unknown): string => {
  if (Array.isArray(value)) return `[${value.map(spaced).join(", ")}]`
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null"
  return `{${Object.entries(value)
    .map(([key, inner]) => `${JSON.stringify(key)}: ${spaced(inner)}`)
    .join(", ")}}`
}

const reasoningParts = (reasoning: string): ReadonlyArray<Part> => [
  markup("<think>"),
  plain(`\n${reasoning}\n`),
  markup("</think>"),
  plain("\n\n")
]

const partsOf = (said: Script.Said): ReadonlyArray<Part> => {
  if (typeof said === "string") return [markup(said)]
  const calls = (said.calls ?? []).flatMap((call, at) => [...(at > 0 ? [plain("\n")] : []), ...callPart(call.name, call.arguments)])
  return [...(said.reasoning === undefined ? [] : reasoningParts(said.reasoning)), plain(said.content ?? ""), ...calls]
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

const say = (request: ChatRequest, voice: Voice, index: number): ReadonlyArray<Part> => {
  const scripted = voice.mode === "scripted" ? Script.find(voice.script, request, index) : undefined
  if (scripted !== undefined) return partsOf(scripted)
  const prompt = lastText(request)
  const random = randomNumbers(`${request.seed ?? voice.seed} ${index} ${prompt}`)
  const content = voice.mode === "random" ? wordsOf(random, 16 + Math.floor(random() * 48)) : prompt
  return [...(reasons(request, voice.profile) ? reasoningParts("The user wants an answer.") : []), plain(content)]
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
