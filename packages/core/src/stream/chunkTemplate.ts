// Consecutive chunks of a stream differ in one string: the next fragment of the content, the reasoning or a tool's arguments. A template keeps
// the bytes before and after that string. An event with the same bytes around a valid string is the same JSON with another value there, which
// was validated once, so that only the string is read. Any other event is parsed and validated as a whole.
import type { ChatCompletionChunk, ChatCompletionDelta } from "../ChatCompletion.ts"

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

// The parts of a valid JSON text before and after the string of a key. `undefined` if the key stands in more than one place, or if another string
// has an escape, which may be a key.
const around = (text: string, key: string): readonly [before: string, after: string] | undefined => {
  const [, before = "", after = ""] = new RegExp(String.raw`^([^\\]*"${key}"\s*:\s*")[^"\\]*(?:\\.[^"\\]*)*("[^\\]*)$`).exec(text) ?? []
  return (before + after).split(`"${key}"`).length === 2 ? [before, after] : undefined
}

// What the fields without these names hold: 0 for nothing but nulls, 1 for other values, 2 for an object or a list.
const restOf = (value: object, ...names: ReadonlyArray<string>): number =>
  Math.max(
    0,
    ...Object.entries(value).map(([name, child]) =>
      names.includes(name) || (child ?? null) === null ? 0 : typeof child === "object" ? 2 : 1
    )
  )

/** The string in which the chunks differ. */
interface Place {
  readonly key: string
  /** Makes a chunk that shares no object with another one, since its reader may change it. */
  readonly withText: (text: string) => ChatCompletionChunk
  /** The text that a chunk continues, if it changes nothing else of the completion. */
  readonly continued?: Continued | undefined
}

// Finds the string in which the next chunks will differ. Undefined when the chunk has no such string, or an object that they would share.
const findPlace = (chunk: ChatCompletionChunk): Place | undefined => {
  const [choice, ...others] = chunk.choices
  if (choice === undefined || others.length > 0) return undefined
  const outer = Math.max(restOf(chunk, "id", "object", "created", "model", "choices"), restOf(choice, "index", "delta"))
  if (outer > 1) return undefined
  const { delta } = choice
  const withDelta = (delta: ChatCompletionDelta): ChatCompletionChunk => ({ ...chunk, choices: [{ ...choice, delta }] })
  const key = textFields.find((name) => typeof delta[name] === "string")
  if (key !== undefined) {
    const inner = restOf(delta, "role", key)
    if (inner > 1) return undefined
    const continued = outer + inner === 0 ? { index: choice.index, field: key } : undefined
    return { key, withText: (text) => withDelta({ ...delta, [key]: text }), continued }
  }
  const [call, ...more] = delta.tool_calls ?? []
  if (call === undefined || more.length > 0 || typeof call.function?.arguments !== "string") return undefined
  const piece = call.function
  if (Math.max(restOf(delta, "tool_calls"), restOf(call, "function"), restOf(piece)) > 1) return undefined
  return {
    key: "arguments",
    withText: (text) => withDelta({ ...delta, tool_calls: [{ ...call, function: { ...piece, arguments: text } }] })
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
  /** The string in which the events differ. */
  readonly place: Place

  private constructor(prefix: Pattern, suffix: Pattern, place: Place) {
    this.#prefix = prefix
    this.#suffix = suffix
    this.place = place
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
    const parts = around(data, place.key)
    if (parts === undefined) return undefined
    const prefix = toPattern(source.slice(0, at) + parts[0])
    const suffix = toPattern(parts[1] + blank)
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
    return this.place.withText(text)
  }
}
