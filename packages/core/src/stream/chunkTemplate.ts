// Consecutive chunks of a stream differ in one string: the next fragment of the content, the reasoning or a tool's arguments. A template keeps
// the bytes before and after that string. An event with the same bytes around a valid string is the same JSON with another value there, which
// was validated once, so that only the string is read. Any other event is parsed and validated as a whole.
import type { ChatCompletionChunk, ChatCompletionDelta } from "../ChatCompletion.ts"
import { findValues, type Span } from "../json/scan.ts"

/** A text of a choice. */
export interface Continued {
  readonly index: number
  readonly field: "content" | "reasoning" | "reasoning_content"
}

const textFields: ReadonlyArray<Continued["field"]> = ["content", "reasoning", "reasoning_content"]

/** Bytes, compared as words of eight bytes. */
interface Pattern {
  readonly length: number
  readonly words: Float64Array
  readonly rest: Uint8Array
}

const encoder = new TextEncoder()
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

// Two numbers are equal exactly if their bytes are, but for zeros and NaN: a text with such a word has no pattern.
const toPattern = (text: string): Pattern | undefined => {
  const bytes = encoder.encode(text)
  const words = new Float64Array(bytes.length >>> 3)
  const view = new DataView(bytes.buffer)
  for (let i = 0; i < words.length; i++) words[i] = view.getFloat64(i * 8, true)
  return words.every(Boolean) ? { length: bytes.length, words, rest: bytes.slice(words.length * 8) } : undefined
}

const matches = (pattern: Pattern, bytes: Uint8Array, view: DataView, at: number): boolean => {
  const { rest, words } = pattern
  for (let i = 0; i < words.length; i++, at += 8) if (view.getFloat64(at, true) !== words[i]) return false
  for (let i = 0; i < rest.length; i++, at++) if (bytes[at] !== rest[i]) return false
  return true
}

// The string at a path of keys in a valid JSON text, with its quotes. `undefined` if a key on the way is repeated, since the place is uncertain.
const findString = (text: string, path: ReadonlyArray<string | number>): Span | undefined => {
  const [span, ...more] = findValues(text, path)
  return span !== undefined && more.length === 0 && text[span[0]] === '"' ? span : undefined
}

const isFlat = (value: object, except: string): boolean => {
  for (const [key, child] of Object.entries(value)) if (key !== except && typeof child === "object" && child !== null) return false
  return true
}

// Whether the fields without these names are null or absent.
const hasOnly = (value: object, ...names: ReadonlyArray<string>): boolean =>
  Object.entries(value).every(([name, child]) => names.includes(name) || child === null || child === undefined)

/** The string in which the chunks differ. */
interface Place {
  readonly path: ReadonlyArray<string | number>
  /** Makes a chunk that shares no object with another one, since its reader may change it. */
  readonly withText: (text: string) => ChatCompletionChunk
  /** The text that a chunk continues, if it changes nothing else of the completion. */
  readonly continued: Continued | undefined
}

// Finds the string in which the next chunks will differ. Undefined when the chunk has no such string, or an object that they would share.
const findPlace = (chunk: ChatCompletionChunk): Place | undefined => {
  const [choice, ...others] = chunk.choices
  if (choice === undefined || others.length > 0 || !isFlat(chunk, "choices") || !isFlat(choice, "delta")) return undefined
  const { delta } = choice
  const withDelta = (delta: ChatCompletionDelta): ChatCompletionChunk => ({ ...chunk, choices: [{ ...choice, delta }] })
  const field = textFields.find((name) => typeof delta[name] === "string")
  if (field !== undefined) {
    if (!isFlat(delta, field)) return undefined
    const isContinued =
      hasOnly(chunk, "id", "object", "created", "model", "choices") && hasOnly(choice, "index", "delta") && hasOnly(delta, "role", field)
    return {
      path: ["choices", 0, "delta", field],
      withText: (text) => withDelta({ ...delta, [field]: text }),
      continued: isContinued ? { index: choice.index, field } : undefined
    }
  }
  const [call, ...more] = delta.tool_calls ?? []
  if (call === undefined || more.length > 0 || typeof call.function?.arguments !== "string") return undefined
  const piece = call.function
  if (!isFlat(delta, "tool_calls") || !isFlat(call, "function") || !isFlat(piece, "arguments")) return undefined
  return {
    path: ["choices", 0, "delta", "tool_calls", 0, "function", "arguments"],
    withText: (text) => withDelta({ ...delta, tool_calls: [{ ...call, function: { ...piece, arguments: text } }] }),
    continued: undefined
  }
}

const escapes: Readonly<Record<number, string | undefined>> = {
  34: '"',
  47: "/",
  92: "\\",
  98: "\b",
  102: "\f",
  110: "\n",
  114: "\r",
  116: "\t"
}

// Decodes a short ASCII string, which costs less than a call of a decoder. Undefined when the string has an escape of more than one letter.
const shortText = (bytes: Uint8Array, from: number, to: number): string | undefined => {
  let text = ""
  for (let i = from; i < to; i++) {
    const byte = bytes[i] as number
    if (byte !== 92) text += String.fromCharCode(byte)
    else {
      const character = escapes[bytes[++i] as number]
      if (character === undefined) return undefined
      text += character
    }
  }
  return text
}

const longText = (bytes: Uint8Array, from: number, to: number, isEscaped: boolean): string | undefined => {
  try {
    const text = decoder.decode(bytes.subarray(from, to))
    return isEscaped ? JSON.parse(`"${text}"`) : text
  } catch {
    return undefined
  }
}

/** Reads events that differ from one chunk in one string. */
export class ChunkTemplate {
  /** The string of the last event that was read. */
  text = ""
  /** The end of the last event that was read. */
  end = 0
  readonly #prefix: Pattern
  readonly #suffix: Pattern
  readonly #place: Place

  private constructor(prefix: Pattern, suffix: Pattern, place: Place) {
    this.#prefix = prefix
    this.#suffix = suffix
    this.#place = place
  }

  /** The text that the chunks continue, if they change nothing else of the completion. */
  get continued(): Continued | undefined {
    return this.#place.continued
  }

  /** Makes the template of an event from its bytes, data and chunk. Undefined when the event has none. */
  static of(event: Uint8Array, data: string, chunk: ChatCompletionChunk): ChunkTemplate | undefined {
    const place = findPlace(chunk)
    if (place === undefined) return undefined
    let source: string
    try {
      source = decoder.decode(event)
    } catch {
      return undefined
    }
    const at = source.startsWith("data: ") ? 6 : 5
    const blank = source.endsWith("\r\n\r\n") ? "\r\n\r\n" : "\n\n"
    // The event must be a single `data` line, since any other field changes the state of the parser.
    if (source !== `${source.slice(0, at)}${data}${blank}` || !source.startsWith("data:") || /[\r\n]/.test(data)) return undefined
    const found = findString(data, place.path)
    if (found === undefined) return undefined
    const prefix = toPattern(source.slice(0, at + found[0] + 1))
    const suffix = toPattern(source.slice(at + found[1] - 1))
    return prefix && suffix && new ChunkTemplate(prefix, suffix, place)
  }

  /** Reads the event that begins at `at`. Undefined when the event does not match. */
  read(bytes: Uint8Array, view: DataView, at: number): ChatCompletionChunk | undefined {
    const prefix = this.#prefix
    const suffix = this.#suffix
    const last = bytes.length - suffix.length
    const from = at + prefix.length
    if (from > last || !matches(prefix, bytes, view, at)) return undefined
    let isAscii = true
    let isEscaped = false
    let to = from
    for (; to <= last; to++) {
      const byte = bytes[to] as number
      if (byte === 34) break
      if (byte === 92) {
        isEscaped = true
        to++
      } else if (byte >= 128) isAscii = false
      else if (byte < 32) return undefined
    }
    if (to > last || !matches(suffix, bytes, view, to)) return undefined
    const text = (isAscii && to - from <= 24 ? shortText(bytes, from, to) : undefined) ?? longText(bytes, from, to, isEscaped)
    if (text === undefined) return undefined
    this.text = text
    this.end = to + suffix.length
    return this.#place.withText(text)
  }
}
