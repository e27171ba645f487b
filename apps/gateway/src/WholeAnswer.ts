/**
 * A whole answer of a model server: whether it is one.
 */
import * as ErrorBody from "@paradigm-effect/core/ErrorBody"
import type { StreamFault } from "@paradigm-effect/core/ParadigmError"
import * as Predicate from "effect/Predicate"
import { type TokenCounts, tokenCounts } from "./TokenCounts.ts"

// A larger answer is not parsed for its usage.
const maxParsed = 4 * 1024 * 1024

/** What an answer is. */
export type Judged =
  | { readonly kind: "answer"; readonly usage: TokenCounts | undefined }
  | { readonly kind: "unexpected"; readonly cause: string }
  | { readonly kind: "fault"; readonly fault: StreamFault }
  /** The engine was told to stop. */
  | { readonly kind: "aborted" }

/** Judges the body of a response of status 200. */
export const judge = (body: Buffer): Judged => {
  const ends = `${body.toString("latin1", 0, 64)} ${body.toString("latin1", Math.max(0, body.length - 64))}`
  // Empty, cut off, or a page that calls itself JSON.
  if (!/^\s*\{[^]*\}\s*$/.test(ends)) return { kind: "unexpected", cause: "its JSON is not an object" }
  if (body.length > maxParsed) return { kind: "answer", usage: undefined }
  const text = body.toString("utf8")
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return { kind: "unexpected", cause: "its body is not JSON" }
  }
  const fault = ErrorBody.fromEvent(value, text)
  if (fault !== undefined) return { kind: "fault", fault }
  const { choices, usage } = Predicate.isObject(value) ? value : {}
  if (Array.isArray(choices) && choices.some((choice) => Predicate.isObject(choice) && choice["finish_reason"] === "abort")) {
    return { kind: "aborted" }
  }
  return { kind: "answer", usage: tokenCounts(usage) }
}
