/**
 * A byte-level tokenizer without a vocabulary file: ids are computed.
 *
 * A token is up to four letters with the space before them, up to three digits, or one byte. A character outside of ASCII is several
 * tokens, so a list of ids can end inside a character, as with the tokenizers of real models.
 *
 * | ids | tokens |
 * | --- | --- |
 * | 0 to 255 | one byte |
 * | 256 to 266 | special tokens |
 * | 512 to 1842 | one to three digits |
 * | 2048 to 2127811 | one to four letters, the first possibly a capital, possibly after a space |
 *
 * @since 0.1.0
 */

/**
 * The special tokens. `control` tokens have no text in an answer; `markup` tokens delimit parts of it, which parsers read.
 *
 * @category models
 * @since 0.1.0
 */
export const special = {
  endOfText: 256,
  messageStart: 257,
  messageEnd: 258,
  image: 259,
  thinkStart: 260,
  thinkEnd: 261,
  toolCallStart: 262,
  toolCallEnd: 263
} as const

const specialTexts = new Map<number, string>([
  [special.endOfText, "<|endoftext|>"],
  [special.messageStart, "<|im_start|>"],
  [special.messageEnd, "<|im_end|>"],
  [special.image, "<|image_pad|>"],
  [special.thinkStart, "<think>"],
  [special.thinkEnd, "</think>"],
  [special.toolCallStart, "<tool_call>"],
  [special.toolCallEnd, "</tool_call>"]
])
const specialIds = new Map([...specialTexts].map(([id, text]) => [text, id]))
const specialPattern = new RegExp([...specialIds.keys()].map((text) => text.replaceAll("|", "\\|")).join("|"), "g")

const digitsFrom = 512
// Base 11: digit + 1, so that leading zeros count.
const digitsCount = 11 ** 3
const lettersFrom = 2048
// Base 27 for the same reason.
const lettersCount = 27 ** 4

/**
 * Number of ids. Ids from here on are out of vocabulary.
 *
 * @category models
 * @since 0.1.0
 */
export const vocabularySize = lettersFrom + 4 * lettersCount

const isLower = (code: number) => code >= 97 && code <= 122
const isUpper = (code: number) => code >= 65 && code <= 90
const isDigit = (code: number) => code >= 48 && code <= 57

const pushBytes = (ids: Array<number>, point: number) => {
  if (point < 0x80) ids.push(point)
  else if (point < 0x800) ids.push(0xc0 | (point >> 6), 0x80 | (point & 63))
  else if (point < 0x10000) ids.push(0xe0 | (point >> 12), 0x80 | ((point >> 6) & 63), 0x80 | (point & 63))
  else ids.push(0xf0 | (point >> 18), 0x80 | ((point >> 12) & 63), 0x80 | ((point >> 6) & 63), 0x80 | (point & 63))
}

/**
 * The ids of a text. The texts of special tokens are plain text here: see {@link encodeSpecial}.
 *
 * A lone surrogate becomes U+FFFD; any other text is what {@link decode} returns.
 *
 * @example
 * ```ts
 * import * as Tokenizer from "@paradigm-effect/simulator/Tokenizer"
 *
 * console.log(Tokenizer.decode(Tokenizer.encode("Hello 🌊"))) // => Hello 🌊
 * ```
 *
 * @category encoding
 * @since 0.1.0
 */
export const encode = (text: string): Array<number> => {
  const ids: Array<number> = []
  let at = 0
  while (at < text.length) {
    const code = text.charCodeAt(at)
    let start = at
    if (code === 32) start++
    const first = text.charCodeAt(start)
    if (isLower(first) || isUpper(first)) {
      let value = isLower(first) ? first - 96 : first - 64
      let end = start + 1
      for (; end < start + 4 && isLower(text.charCodeAt(end)); end++) value = value * 27 + text.charCodeAt(end) - 96
      ids.push(lettersFrom + ((start - at) * 2 + (isUpper(first) ? 1 : 0)) * lettersCount + value)
      at = end
    } else if (isDigit(code)) {
      let value = 0
      let end = at
      for (; end < at + 3 && isDigit(text.charCodeAt(end)); end++) value = value * 11 + text.charCodeAt(end) - 47
      ids.push(digitsFrom + value)
      at = end
    } else {
      const point = text.codePointAt(at) ?? 0
      pushBytes(ids, point >= 0xd800 && point <= 0xdfff ? 0xfffd : point)
      at += point > 0xffff ? 2 : 1
    }
  }
  return ids
}

/**
 * The ids of a text in which the texts of special tokens, as `<|im_end|>`, stand for these tokens.
 *
 * @example
 * ```ts
 * import * as Tokenizer from "@paradigm-effect/simulator/Tokenizer"
 *
 * console.log(Tokenizer.encodeSpecial("<think>").length) // => 1
 * ```
 *
 * @category encoding
 * @since 0.1.0
 */
export const encodeSpecial = (text: string): Array<number> => {
  const ids: Array<number> = []
  let at = 0
  for (const match of text.matchAll(specialPattern)) {
    for (const id of encode(text.slice(at, match.index))) ids.push(id)
    ids.push(specialIds.get(match[0]) ?? special.endOfText)
    at = match.index + match[0].length
  }
  for (const id of encode(text.slice(at))) ids.push(id)
  return ids
}

const digits = (value: number): string => (value < 11 ? String(value - 1) : digits(Math.floor(value / 11)) + String((value % 11) - 1))

const letters = (value: number): string =>
  value < 27 ? String.fromCharCode(96 + value) : letters(Math.floor(value / 27)) + String.fromCharCode(96 + (value % 27))

const spell = (id: number): string => {
  if (id < lettersFrom) return digits(id - digitsFrom)
  const kind = Math.floor((id - lettersFrom) / lettersCount)
  const word = letters((id - lettersFrom) % lettersCount)
  return (kind >= 2 ? " " : "") + (kind % 2 === 1 ? word.charAt(0).toUpperCase() + word.slice(1) : word)
}

// Answers share the texts of their tokens: each of them for itself is most of what an answer takes in memory.
const pieces = new Map<number, string>()
const keptPieces = 8192

const piece = (id: number): string => {
  const known = pieces.get(id)
  if (known !== undefined) return known
  const text = spell(id)
  if (pieces.size >= keptPieces) pieces.clear()
  pieces.set(id, text)
  return text
}

// Without a digit of zero: "a" is 1, so a number with a zero digit spells nothing.
const spells = (value: number, base: number): boolean =>
  value > 0 && value % base !== 0 && (value < base || spells(Math.floor(value / base), base))

/**
 * Whether the id is a token.
 *
 * @example
 * ```ts
 * import * as Tokenizer from "@paradigm-effect/simulator/Tokenizer"
 *
 * console.log(Tokenizer.isToken(-1)) // => false
 * ```
 *
 * @category predicates
 * @since 0.1.0
 */
export const isToken = (id: number): boolean => {
  if (!Number.isInteger(id) || id < 0 || id >= vocabularySize) return false
  if (id < 256 || specialTexts.has(id)) return true
  if (id >= lettersFrom) return spells((id - lettersFrom) % lettersCount, 27)
  return id >= digitsFrom && id < digitsFrom + digitsCount && spells(id - digitsFrom, 11)
}

/**
 * Whether the token has no text in an answer: an end, the start of a message, an image.
 *
 * @example
 * ```ts
 * import * as Tokenizer from "@paradigm-effect/simulator/Tokenizer"
 *
 * console.log(Tokenizer.isControl(Tokenizer.special.messageEnd)) // => true
 * ```
 *
 * @category predicates
 * @since 0.1.0
 */
export const isControl = (id: number): boolean => id >= special.endOfText && id <= special.image

/**
 * Decodes ids one by one. Bytes of a character that is not yet complete are kept for the next id.
 *
 * @category decoding
 * @since 0.1.0
 */
export class Decoder {
  readonly #utf8 = new TextDecoder("utf-8", { ignoreBOM: true })
  readonly #byte = new Uint8Array(1)
  readonly #control: boolean
  #pending = false

  /** Keeps the texts of control tokens if `control` is true. Defaults to false. */
  constructor(control = false) {
    this.#control = control
  }

  /** True after an id that ends inside a character. */
  get pending(): boolean {
    return this.#pending
  }

  /** The text that the id completes. An id that is no token has none. */
  push(id: number): string {
    if (id < 128 && !this.#pending && id >= 0) return String.fromCharCode(id)
    if (id >= 0 && id < 256) {
      this.#byte[0] = id
      const text = this.#utf8.decode(this.#byte, { stream: true })
      this.#pending = text === "" || (text === "\ufffd" && id >= 0xc2 && id <= 0xf4)
      return text
    }
    const text = specialTexts.has(id) ? this.#special(id) : isToken(id) ? piece(id) : ""
    return this.#pending ? this.end() + text : text
  }

  /** U+FFFD if the ids ended inside a character, else nothing. */
  end(): string {
    if (!this.#pending) return ""
    this.#pending = false
    return this.#utf8.decode()
  }

  #special(id: number): string {
    return isControl(id) && !this.#control ? "" : (specialTexts.get(id) ?? "")
  }
}

/**
 * The text of ids. An incomplete character is U+FFFD. Control tokens have no text unless `control` is true.
 *
 * @example
 * ```ts
 * import * as Tokenizer from "@paradigm-effect/simulator/Tokenizer"
 *
 * console.log(Tokenizer.decode([Tokenizer.special.thinkStart, ...Tokenizer.encode("So"), Tokenizer.special.messageEnd])) // => <think>So
 * ```
 *
 * @category decoding
 * @since 0.1.0
 */
export const decode = (ids: Iterable<number>, control = false): string => {
  const decoder = new Decoder(control)
  let text = ""
  for (const id of ids) text += decoder.push(id)
  return text + decoder.end()
}

/**
 * Whether the ids end inside a character.
 *
 * @example
 * ```ts
 * import * as Tokenizer from "@paradigm-effect/simulator/Tokenizer"
 *
 * console.log(Tokenizer.endsInside(Tokenizer.encode("é").slice(0, 1))) // => true
 * ```
 *
 * @category predicates
 * @since 0.1.0
 */
export const endsInside = (ids: ReadonlyArray<number>): boolean => {
  const decoder = new Decoder()
  // A character has at most four bytes.
  for (const id of ids.slice(-4)) decoder.push(id)
  return decoder.pending
}
