// The key in what an error tells. A server may answer with what it was sent: in a body, in a header, escaped in JSON, or in what the model
// writes. So the finished error is searched, not the text it was made from.
import * as Redacted from "effect/Redacted"
import type { ChatCompletion, CompletionUsage } from "../ChatCompletion.ts"
import type { ParadigmError, ParadigmErrorReason } from "../ParadigmError.ts"

const mask = "<redacted>"

// A text that was cut short may end with the beginning of the key. Fewer characters than this tell nothing of it.
const minPrefix = 6

const withoutPrefix = (text: string, key: string): string => {
  const end = text.endsWith("…") ? text.length - 1 : text.length
  for (let length = Math.min(key.length - 1, end); length >= minPrefix; length--) {
    if (text.endsWith(key.slice(0, length), end)) return text.slice(0, end - length) + mask
  }
  return text
}

// A character of the key as it is, or as JSON may write it: a letter in hexadecimal, a slash or quote after a backslash.
const spellings = (character: string) => {
  const literal = character.replace(/[^\w]/, "\\$&")
  const escaped = /["\\/]/.test(character) ? `\\\\${literal}|` : ""
  return `(?:${escaped}${literal}|\\\\u00${character.charCodeAt(0).toString(16).padStart(2, "0")})`
}

// Deeper than anything an error is made from; what is below could be anything.
const maxDepth = 64

type Clean = <A>(value: A) => A

const deeply = (cleanText: (text: string) => string): Clean => {
  const clean = (value: unknown, depth: number): unknown => {
    if (typeof value === "string") return cleanText(value)
    if (depth > maxDepth) return mask
    if (Array.isArray(value)) return value.map((child) => clean(child, depth + 1))
    if (typeof value !== "object" || value === null || Object.getPrototypeOf(value) !== Object.prototype) return value
    return Object.fromEntries(Object.entries(value).map(([name, child]) => [cleanText(name), clean(child, depth + 1)]))
  }
  return (value) => clean(value, 0) as typeof value
}

/** An error as it was, but for the key. */
export const make = (apiKey: Redacted.Redacted): ((error: ParadigmError) => ParadigmError) => {
  const key = Redacted.value(apiKey)
  // A URL's host is written in lower case.
  const pattern = new RegExp(Array.from(key, spellings).join(""), "gi")
  const clean = deeply((text) => withoutPrefix(text.replaceAll(pattern, mask), key))
  return (error) => {
    const { reason } = error
    const Reason = reason.constructor as new (fields: object) => ParadigmErrorReason
    return error.with({
      reason: new Reason(clean(Object.fromEntries(Object.entries(reason)))),
      requestId: clean(error.requestId),
      attempts: clean(error.attempts),
      partial: clean<ChatCompletion | undefined>(error.partial),
      usage: clean<CompletionUsage | undefined>(error.usage)
    })
  }
}
