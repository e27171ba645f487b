/**
 * What the reference client knows of JSON and of its own failures.
 */
import type { SubjectError } from "../src/client/Subject.ts"

export type Json = Record<string, unknown>

export class Failure extends Error {
  readonly details: Partial<SubjectError>
  readonly reason: SubjectError["reason"]
  readonly retryAfter: number | undefined
  constructor(reason: SubjectError["reason"], message: string, details: Partial<SubjectError> = {}, retryAfter?: number) {
    super(`${reason}: ${message}`)
    this.reason = reason
    this.details = details
    this.retryAfter = retryAfter
  }
}

export const isObject = (value: unknown): value is Json => typeof value === "object" && value !== null && !Array.isArray(value)

export const tryParse = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** The word or code of an error body: Paradigm's `error` if it is a word, else `code`, nested or not. */
export const codeOf = (value: unknown): string | undefined => {
  if (!isObject(value)) return undefined
  const { code, error } = value
  if (isObject(error)) return codeOf(error)
  const word = typeof error === "string" && /^\w+$/.test(error) ? error : code
  return typeof word === "string" || typeof word === "number" ? String(word) : undefined
}
/** Parses JSON, also with Python's numbers that are not finite. */
export const parse = (text: string): unknown => tryParse(text) ?? tryParse(text.replace(/: *-?(NaN|Infinity)\b/g, ": null"))

export const describe = (value: unknown): string =>
  typeof value === "string"
    ? value
    : isObject(value) || Array.isArray(value)
      ? Object.entries(value)
          .map(([key, item]) => `${key} ${describe(item)}`)
          .join(" ")
      : ""

// The keys that were sent, masked in a text: a word only as a credential.
export const mask = (text: string, keys: ReadonlyArray<string>, bug: string | undefined) => {
  for (const key of keys) {
    if (!/^[\x21-\x7e]+$/.test(key)) continue
    if (key.length >= 12 || bug === "masks-words") {
      const forms = bug === "masks-the-key-alone" ? [key] : [key, encodeURIComponent(key), btoa(key)]
      for (const form of forms) text = text.replaceAll(form, "…")
    } else text = text.replaceAll(`Bearer ${key}`, "Bearer …")
  }
  return text
}
