/**
 * Log probabilities as they are told: those of the tokens of an answer, and of the prompt.
 *
 * They are made up, of a model that is sure of what it says, but hold together: a token is the likeliest at its place, the alternatives are
 * other tokens, in order, and the same request has the same.
 *
 * @since 0.1.0
 */
import { logprobOf, type Token, type TokenCodec } from "./Answer.ts"
import type { LogprobStyle } from "./Profile.ts"

export interface Entry {
  readonly token: string
  readonly logprob: number
  readonly bytes: ReadonlyArray<number>
}

const utf8 = new TextDecoder("utf-8")
const encoder = new TextEncoder()
const replacement = "\ufffd"

// How byte-level vocabularies write bytes: printable ones as themselves, the others as letters from U+0100 on.
const letters: ReadonlyArray<string> = (() => {
  let next = 0x100
  return Array.from({ length: 256 }, (_, byte) => {
    const isPrintable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae
    return String.fromCharCode(isPrintable ? byte : next++)
  })
})()

const textOf = (id: number, released: string | undefined, codec: TokenCodec, style: LogprobStyle): string => {
  const bytes = codec.bytes(id)
  if (codec.isControl(id)) return style.end === "name" ? utf8.decode(bytes) : ""
  if (style.tokens === "vocabulary") return Array.from(bytes, (byte) => letters[byte] ?? "").join("")
  const text = utf8.decode(bytes)
  if (!text.includes(replacement)) return text
  // A part of a character: what it completed, if anything.
  if (released !== undefined && released !== "") return style.half === "nothing" ? text : released
  return style.half === "nothing" ? "" : text
}

const entry = (id: number, logprob: number, released: string | undefined, codec: TokenCodec, style: LogprobStyle): Entry => {
  const token = textOf(id, released, codec, style)
  return { token, logprob, bytes: [...encoder.encode(token)] }
}

const alternative = (id: number, rank: number, codec: TokenCodec): number => {
  const other = (id + 1 + rank * 7) % Math.min(codec.size, 256)
  return other === id ? (other + 1) % codec.size : other
}

/**
 * The `logprobs` of one token in a choice, with so many alternatives, the token itself among them.
 *
 * @category rendering
 * @since 0.1.0
 */
export const ofToken = (token: Token, top: number, codec: TokenCodec, style: LogprobStyle) => {
  const said = entry(token.id, token.logprob, token.text, codec, style)
  const others = Array.from({ length: Math.max(0, top - 1) }, (_, rank) =>
    entry(alternative(token.id, rank, codec), token.logprob - 9 - rank, undefined, codec, style)
  )
  return { ...said, top_logprobs: top > 0 ? [said, ...others] : [] }
}

/**
 * `prompt_logprobs`: nothing for the first token; for each other the token and the likeliest ones, by id.
 *
 * @category rendering
 * @since 0.1.0
 */
export const ofPrompt = (ids: ReadonlyArray<number>, top: number, codec: TokenCodec, style: LogprobStyle) =>
  ids.map((id, place) => {
    if (place === 0) return null
    const rank = top + 1 + (id % 97)
    const told = { logprob: logprobOf(id, place) - 7, rank, decoded_token: textOf(id, undefined, codec, style) }
    const likely = Array.from({ length: Math.max(0, top) }, (_, at): [string, object] => {
      const other = alternative(id, at, codec)
      return [String(other), { logprob: -1.5 - at, rank: at + 1, decoded_token: textOf(other, undefined, codec, style) }]
    })
    return Object.fromEntries([[String(id), told], ...likely])
  })
