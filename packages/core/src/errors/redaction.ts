// Masks API keys in errors. A server may echo the key: in a body, in a header, escaped or encoded. Masks finished errors, not the texts they are
// made of.
import type { ParadigmError, ParadigmErrorReason } from "../ParadigmError.ts"

const mask = "<redacted>"

// Shorter values are words, for example the `EMPTY`, `token` or `ollama` that are customary with local servers. They are masked only as a credential.
const minSecret = 12

// The length from which a part of a key at a cut is masked.
const minPart = 6

// Number of keys that a client keeps. A key function may return a new one for every attempt.
const maxKeys = 16

const maxDepth = 64

// Members of a completion that are the model's own text.
const modelText = /^(content|reasoning.*|refusal|arguments|input)$/

const literal = (character: string) => character.replace(/[^\w]/, "\\$&")

// Matches a character, or its escape in JSON, a URL or an escaped text.
const spellings = (character: string) => {
  const code = character.charCodeAt(0).toString(16).padStart(2, "0")
  const escape = /["/]/.test(character) ? "\\\\{0,3}" : character === "\\" ? "(?:\\\\)?" : ""
  return `(?:${escape}${literal(character)}|\\\\{1,3}u00${code}|%${code})`
}

// The characters of the base64 text that depend only on the key, when it follows `offset` other bytes.
const base64 = (key: string, offset: number) => {
  const text = btoa("0".repeat(offset) + key)
  const inner = text.slice(offset === 0 ? 0 : offset + 1, Math.floor(((key.length + offset) * 8) / 6))
  return Array.from(inner, (character) => (character === "+" ? "[+-]" : character === "/" ? "\\\\?[/_]" : character)).join("")
}

const patternOf = (key: string): string => {
  const text = Array.from(key, spellings).join("")
  // A URL's host is written in lower case, so the pattern ignores the case.
  if (key.length >= minSecret) return [text, ...[0, 1, 2].map((offset) => base64(key, offset))].join("|")
  return `(?<=\\bbearer(?:\\s|\\+|%20)+|\\bauthorization\\W{1,12})${text}(?![\\w-])`
}

// Before an ellipsis a text may end with the beginning of the key, and after it continue with the key's end.
const withoutPart = (text: string, key: string): string =>
  text
    .split("…")
    .map((piece, i, pieces) => {
      for (let length = Math.min(key.length - 1, piece.length); length >= minPart; length--) {
        if (i + 1 < pieces.length && piece.endsWith(key.slice(0, length))) piece = piece.slice(0, -length) + mask
        if (i > 0 && piece.startsWith(key.slice(-length))) piece = mask + piece.slice(length)
      }
      return piece
    })
    .join("…")

/** The keys that were sent. */
export class Secrets {
  #keys: Array<string> = []
  #pattern: RegExp | undefined
  readonly #others: Secrets | undefined

  /** Masks the keys of `others` too. */
  constructor(others?: Secrets) {
    this.#others = others
  }

  add(key: string): void {
    if (key === "" || this.#keys.includes(key)) return
    this.#keys = [...this.#keys, key].slice(-maxKeys)
    this.#pattern = undefined
  }

  /** A text without the keys. */
  readonly text = (text: string): string => {
    if (this.#keys.length > 0) {
      this.#pattern ??= new RegExp(this.#keys.map(patternOf).join("|"), "gi")
      text = text.replaceAll(this.#pattern, mask)
      for (const key of this.#keys) if (key.length >= minSecret) text = withoutPart(text, key)
    }
    return this.#others?.text(text) ?? text
  }

  /** A copy of an exception without the keys: its name, message, code, stack and causes. */
  readonly cause = (cause: unknown, depth = 0): Error => {
    const clean = (text: unknown) => this.text(String(text))
    if (!(cause instanceof Error)) return new Error(clean(typeof cause === "object" ? "an object" : cause))
    const inner = cause.cause === undefined || depth > 7 ? undefined : { cause: this.cause(cause.cause, depth + 1) }
    const copy = Object.assign(new Error(clean(cause.message), inner), "code" in cause ? { code: clean(cause.code) } : {})
    // Not enumerable, as in the original.
    for (const name of ["name", "stack"] as const) Object.defineProperty(copy, name, { value: clean(cause[name]) })
    return copy
  }

  /** An error without the keys. The model's text and the names in the completion and the usage stay as they are. */
  readonly error = (error: ParadigmError): ParadigmError => {
    const { reason } = error
    const Reason = reason.constructor as new (fields: object) => ParadigmErrorReason
    const cause = reason.cause === undefined ? {} : { cause: this.cause(reason.cause) }
    const members = (holder: object) => this.#deep({ ...holder }, 0, false) as object
    return error.with({ ...members(error), reason: new Reason({ ...members(reason), ...cause }) })
  }

  // The names of `fields` come from the server, too.
  #deep(value: unknown, depth: number, isCompletion: boolean): unknown {
    if (typeof value === "string") return this.text(value)
    if (depth > maxDepth) return mask
    if (Array.isArray(value)) return value.map((child) => this.#deep(child, depth + 1, isCompletion))
    if (typeof value !== "object" || value === null || Object.getPrototypeOf(value) !== Object.prototype) return value
    return Object.fromEntries(
      Object.entries(value).map(([name, child]) =>
        isCompletion && modelText.test(name)
          ? [name, child]
          : [isCompletion ? name : this.text(name), this.#deep(child, depth + 1, isCompletion || name === "partial" || name === "usage")]
      )
    )
  }
}
