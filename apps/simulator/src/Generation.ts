/**
 * The words of a model that is not there: how text is cut into tokens, what is answered, and where the answer ends.
 * Everything here is pure: the same options give the same answer, streamed or not.
 *
 * @since 0.1.0
 */

/**
 * `echo` gives back the last user message; `random` gives words chosen by the seed, the choice's index and the prompt.
 *
 * @category models
 * @since 0.1.0
 */
export type Mode = "echo" | "random"

/**
 * What decides an answer. Lengths are in tokens of {@link tokens}.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly mode: Mode
  /** The text that `echo` gives back and `random` mixes into its seed. */
  readonly prompt: string
  readonly seed: number
  /** Index of the choice: choices of one request differ in `random` mode. */
  readonly index: number
  /** The answer is cut here, with finish reason `length`. At least 1. */
  readonly maxTokens: number
  /** `random` gives at least so many tokens, and no stop string counts before them. */
  readonly minTokens?: number | undefined
  /** `random` goes on up to `maxTokens`. */
  readonly ignoreEndOfText?: boolean | undefined
  readonly stop?: ReadonlyArray<string> | undefined
  /** Keep the stop string that ended the answer. */
  readonly includeStop?: boolean | undefined
}

/**
 * One choice's answer.
 *
 * @category models
 * @since 0.1.0
 */
export interface Answer {
  /** The text in the pieces a stream sends; none is empty. */
  readonly pieces: ReadonlyArray<string>
  /** Tokens generated: more than there are pieces where a stop string cut some away. */
  readonly tokens: number
  readonly finishReason: "stop" | "length"
  /** The stop string that ended the answer, or `null`. */
  readonly stopReason: string | null
}

/**
 * Cuts a text into tokens: a word, or 12 characters of a longer one, with the white space before it. Joined, they are the text again.
 *
 * @category tokens
 * @since 0.1.0
 */
export function* tokens(text: string): Generator<string, void> {
  for (const match of text.matchAll(/\s*\S{1,12}|\s+/gu)) yield match[0]
}

/**
 * The number of tokens in a text.
 *
 * @category tokens
 * @since 0.1.0
 */
export const count = (text: string): number => {
  const token = /\s*\S{1,12}|\s+/gu
  let total = 0
  while (token.test(text)) total++
  return total
}

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

// A 32-bit Weyl sequence with a mixing step: small, and the same on every runtime.
const randomNumbers = (seed: number) => {
  let state = seed
  return () => {
    state = (state + 0x9e3779b9) | 0
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad)
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97)
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 0x1_0000_0000
  }
}

function* randomTokens(options: Options): Generator<string, void> {
  const random = randomNumbers(hash(`${options.seed} ${options.index} ${options.prompt}`))
  const length = options.ignoreEndOfText === true ? Infinity : Math.max(options.minTokens ?? 0, 16 + Math.floor(random() * 48))
  for (let i = 0; i < length; i++) yield (i === 0 ? "" : " ") + (vocabulary[Math.floor(random() * vocabulary.length)] ?? "the")
}

/**
 * Generates one choice's answer.
 *
 * A stop string is looked for after each token, in the order the stops are given, as a model server does; the answer ends before it.
 *
 * @category generation
 * @since 0.1.0
 */
export const answer = (options: Options): Answer => {
  const stops = options.stop ?? []
  const window = Math.max(0, ...stops.map((stop) => stop.length))
  const pieces: Array<string> = []
  let generated = 0
  // The text from `start` on, which is all that a stop string ending in the newest token can reach.
  let tail = ""
  for (const token of options.mode === "echo" ? tokens(options.prompt) : randomTokens(options)) {
    if (generated === options.maxTokens) return { pieces, tokens: generated, finishReason: "length", stopReason: null }
    generated++
    pieces.push(token)
    if (window === 0 || generated < (options.minTokens ?? 0)) continue
    tail = tail.slice(-(window - 1) || tail.length) + token
    const stopReason = stops.find((stop) => tail.includes(stop))
    if (stopReason === undefined) continue
    const surplus = tail.length - tail.indexOf(stopReason) - (options.includeStop === true ? stopReason.length : 0)
    return { pieces: dropEnd(pieces, surplus), tokens: generated, finishReason: "stop", stopReason }
  }
  return { pieces, tokens: generated, finishReason: "stop", stopReason: null }
}

const dropEnd = (pieces: Array<string>, characters: number): Array<string> => {
  let left = characters
  while (left > 0) {
    const last = pieces.pop() ?? ""
    if (last.length > left) pieces.push(last.slice(0, last.length - left))
    left -= last.length
  }
  return pieces
}
