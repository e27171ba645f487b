/**
 * The reference client's encoding of requests; each `bug` spoils it in one way.
 */
import type { Operation } from "../src/case/Case.ts"
import { isObject, type Json } from "./referenceStream.ts"

const fields = (value: unknown, name: string): ReadonlyArray<readonly [string, string]> => {
  if (name === "messages" && Array.isArray(value)) {
    return value.flatMap((message: Json, i) =>
      Object.entries(message).map(([key, item]) => [`messages[${i}]${key}`, String(item)] as const)
    )
  }
  if (Array.isArray(value)) return value.map((item) => [name, String(item)] as const)
  return [[name, isObject(value) ? JSON.stringify(value) : String(value)]]
}

const omitNulls = (object: Json, kept: string): Json =>
  Object.fromEntries(Object.entries(object).filter(([name, value]) => value !== null || name === kept))

// Null is absent in a request and in its messages, but for a message's content and for fields of a vendor.
export const withoutNulls = (request: Json): Json => {
  const sent = omitNulls(request, "vendor")
  const { messages } = sent
  return Array.isArray(messages) ? { ...sent, messages: messages.map((one) => (isObject(one) ? omitNulls(one, "content") : one)) } : sent
}

export const encode = (
  kind: Operation["kind"],
  sent: Json,
  bug: string | undefined
): { readonly body: NonNullable<RequestInit["body"]>; readonly type?: string } => {
  if (kind === "json" || kind === "stream") return { body: JSON.stringify(sent), type: "application/json" }
  const pairs = Object.entries(sent).flatMap(([name, value]) =>
    fields(value, bug === "forms-in-brackets" && name === "stop" ? "stop[]" : name).map(
      ([key, item]) => [bug === "forms-in-brackets" ? key.replace(/\](\w+)$/, "][$1]") : key, item] as const
    )
  )
  if (kind === "form") {
    if (bug === "forms-unescaped")
      return { body: pairs.map(([name, value]) => `${name}=${value}`).join("&"), type: "application/x-www-form-urlencoded" }
    return { body: new URLSearchParams(pairs.map(([name, value]) => [name, value])) }
  }
  const form = new FormData()
  for (const [name, value] of bug === "forms-in-disorder" ? pairs.toReversed() : pairs) form.append(name, value)
  return { body: form, ...(bug === "boundary-by-hand" ? { type: "multipart/form-data; boundary=x" } : {}) }
}
