// Consecutive chunks of a stream differ in one string: the next piece of the content, the reasoning or a tool's arguments. A template keeps
// the bytes before and after that string. An event with the same bytes around a well-formed string is the same JSON with another value
// there, so it has the shape that was validated once: only the string is read. Whatever does not match goes the whole way.
import type { ChatCompletionChunk, ChatCompletionDelta } from "../ChatCompletion.ts"
import { findValues, type Span } from "../json/scan.ts"

type TextField = "content" | "reasoning" | "reasoning_content"
const textFields: ReadonlyArray<TextField> = ["content", "reasoning", "reasoning_content"]

/** Bytes, with the words by which they are compared: four bytes at a time are one comparison. */
interface Pattern {
  readonly length: number
  readonly words: Uint32Array
  readonly rest: Uint8Array
}

const encoder = new TextEncoder()
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

const toPattern = (text: string): Pattern => {
  const bytes = encoder.encode(text)
  const words = new Uint32Array(bytes.length >>> 2)
  const view = new DataView(bytes.buffer)
  for (let i = 0; i < words.length; i++) words[i] = view.getUint32(i * 4, true)
  return { length: bytes.length, words, rest: bytes.slice(words.length * 4) }
}

const matches = (pattern: Pattern, bytes: Uint8Array, view: DataView, at: number): boolean => {
  const { rest, words } = pattern
  for (let i = 0; i < words.length; i++, at += 4) if (view.getUint32(at, true) !== words[i]) return false
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

interface Place {
  readonly path: ReadonlyArray<string | number>
  readonly before: ChatCompletionChunk
  /** A chunk of its own, all the way down: whoever gets it may keep it or change it. */
  readonly withText: (text: string) => ChatCompletionChunk
}

// Where in a chunk the string is that its successors will differ in, if it has one and nothing beside it would be shared between them.
const findPlace = (chunk: ChatCompletionChunk): Place | undefined => {
  const [choice, ...others] = chunk.choices
  if (choice === undefined || others.length > 0 || !isFlat(chunk, "choices") || !isFlat(choice, "delta")) return undefined
  const { delta } = choice
  const withDelta = (delta: ChatCompletionDelta): ChatCompletionChunk => ({ ...chunk, choices: [{ ...choice, delta }] })
  const field = textFields.find((name) => typeof delta[name] === "string")
  if (field !== undefined) {
    if (!isFlat(delta, field)) return undefined
    return { path: ["choices", 0, "delta", field], before: chunk, withText: (text) => withDelta({ ...delta, [field]: text }) }
  }
  const [call, ...more] = delta.tool_calls ?? []
  if (call === undefined || more.length > 0 || typeof call.function?.arguments !== "string") return undefined
  const piece = call.function
  if (!isFlat(delta, "tool_calls") || !isFlat(call, "function") || !isFlat(piece, "arguments")) return undefined
  return {
    path: ["choices", 0, "delta", "tool_calls", 0, "function", "arguments"],
    before: chunk,
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

// A short ASCII string: a decoder costs more to call than this takes to build it. `undefined` where it holds another escape than the
// one-letter ones.
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

/** An event that was read: its chunk, and the place past it. */
export interface Match {
  readonly chunk: ChatCompletionChunk
  readonly end: number
}

/** The events that differ from one chunk in one string. */
export class ChunkTemplate {
  readonly #prefix: Pattern
  readonly #suffix: Pattern
  readonly #withText: (text: string) => ChatCompletionChunk
  private constructor(prefix: string, suffix: string, withText: (text: string) => ChatCompletionChunk) {
    this.#prefix = toPattern(prefix)
    this.#suffix = toPattern(suffix)
    this.#withText = withText
  }

  /** The template of an event, from its bytes, its data and its chunk; `undefined` where it has none. */
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
    // Only an event that is a single `data` line: anything else changes the parser's state.
    if (source !== `${source.slice(0, at)}${data}${blank}` || !source.startsWith("data:") || /[\r\n]/.test(data)) return undefined
    const found = findString(data, place.path)
    if (found === undefined) return undefined
    return new ChunkTemplate(source.slice(0, at + found[0] + 1), source.slice(at + found[1] - 1), place.withText)
  }

  /** The event that begins at a place, if it is one of these. */
  read(bytes: Uint8Array, view: DataView, at: number): Match | undefined {
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
    return { chunk: this.#withText(text), end: to + suffix.length }
  }
}
