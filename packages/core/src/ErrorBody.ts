/**
 * Every error body that a client of this endpoint meets, as one typed reason. Bodies come from Paradigm's v2 and v3, Django REST
 * framework, vLLM, OpenAI-compatible servers, FastAPI, and from the proxies between.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Predicate from "effect/Predicate"
import { join } from "./internal/schemaIssue.ts"
import {
  excerpt,
  Forbidden,
  Maintenance,
  ModelNotFound,
  type ParadigmErrorReason,
  RateLimited,
  RequestRejected,
  ServerFault,
  StreamFault,
  Unauthorized
} from "./ParadigmError.ts"

/**
 * An answer with an error status.
 *
 * @category models
 * @since 0.1.0
 */
export interface ErrorAnswer {
  readonly status: number
  /** Header names are lower case. */
  readonly headers: Readonly<Record<string, string | undefined>>
  /** As much of the body as was read. */
  readonly body: string
  /** The model that was asked for. */
  readonly model: string
  /** Unix milliseconds, to read a `retry-after` that is a date. */
  readonly now: number
}

const parse = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const text = (value: unknown): string | undefined => (typeof value === "string" && value !== "" ? value : undefined)

const isMessages = (value: unknown): value is ReadonlyArray<string> =>
  Array.isArray(value) && value.length > 0 && value.every(Predicate.isString)

// `{"model": ["…"]}`, `{"messages": {"1": {"role": ["…"]}}}` or, in the v3 envelope, lists of `{error, detail}`.
const collectFields = (value: unknown, path: string, into: Record<string, ReadonlyArray<string>>) => {
  if (isMessages(value)) into[path] = value
  else if (Array.isArray(value) && value.length > 0 && value.every((item) => Predicate.isObject(item) && "detail" in item)) {
    into[path] = value.map((item) => text(item.detail) ?? text(item.error) ?? "invalid")
  } else if (Array.isArray(value) || Predicate.isObject(value)) {
    for (const [key, child] of Object.entries(value)) collectFields(child, join(path, key), into)
  }
  return into
}

interface Reading {
  readonly detail: string | undefined
  readonly fields: Readonly<Record<string, ReadonlyArray<string>>>
  readonly type?: string | undefined
  readonly code?: number | undefined
  readonly param?: string | undefined
}

const readObject = (body: Record<PropertyKey, unknown>): Reading => {
  const error = body["error"]
  if (Predicate.isObject(error)) {
    const nested = error as Record<string, unknown>
    return {
      detail: text(nested["message"]) ?? text(nested["detail"]),
      fields: {},
      type: text(nested["type"]),
      code: typeof nested["code"] === "number" ? nested["code"] : undefined,
      param: text(nested["param"])
    }
  }
  const detail = body["detail"]
  if (Array.isArray(detail)) {
    const fields: Record<string, Array<string>> = {}
    for (const item of detail) {
      if (!Predicate.isObject(item)) continue
      const at = "loc" in item && Array.isArray(item.loc) ? item.loc.filter((part) => part !== "body").reduce(join, "") : ""
      ;(fields[at] ??= []).push(("msg" in item && text(item.msg)) || "invalid")
    }
    return { detail: undefined, fields }
  }
  const known = text(detail) ?? text(body["message"]) ?? text(error)
  if (known !== undefined) {
    return {
      detail: known,
      fields: collectFields(body["fields"], "", {}),
      type: text(body["type"]) ?? text(error),
      code: typeof body["code"] === "number" ? body["code"] : undefined,
      param: text(body["param"])
    }
  }
  const { non_field_errors: general, ...fields } = collectFields(body, "", {})
  return { detail: general?.join(" "), fields }
}

const read = (body: string): Reading => {
  const value = parse(body)
  if (Predicate.isObject(value)) return readObject(value)
  if (typeof value === "string") return { detail: value, fields: {} }
  const plain = body.trim()
  // A proxy's page says nothing that is worth a line: its beginning stays readable in the excerpt.
  return { detail: plain === "" || plain.startsWith("<") ? undefined : plain.slice(0, 300), fields: {} }
}

/**
 * How long the server asks to wait: `retry-after-ms`, or `retry-after` as seconds or as an HTTP date. What is none of these is `undefined`.
 *
 * @category decoding
 * @since 0.1.0
 */
export const retryAfter = (headers: Readonly<Record<string, string | undefined>>, now: number): Duration.Duration | undefined => {
  const exact = headers["retry-after-ms"]
  if (exact !== undefined && /^\d+(\.\d+)?$/.test(exact)) return Duration.millis(Number(exact))
  const value = headers["retry-after"]
  if (value === undefined) return undefined
  if (/^\d+(\.\d+)?$/.test(value)) return Duration.seconds(Number(value))
  const date = /^[A-Za-z]{3}/.test(value) ? Date.parse(value) : Number.NaN
  return Number.isNaN(date) ? undefined : Duration.millis(Math.max(0, date - now))
}

/**
 * Why the server answered with an error status.
 *
 * @category decoding
 * @since 0.1.0
 */
export const toReason = (answer: ErrorAnswer): ParadigmErrorReason => {
  const { detail, fields } = read(answer.body)
  const { model, status } = answer
  const about = { status, detail, excerpt: excerpt(answer.body) }
  switch (status) {
    case 401:
      return new Unauthorized(about)
    case 403:
      return new Forbidden(about)
    case 404:
      return new ModelNotFound({ ...about, model })
    case 429:
      return new RateLimited({ ...about, retryAfter: retryAfter(answer.headers, answer.now) })
  }
  if (status < 500) return new RequestRejected({ ...about, fields })
  const value = parse(answer.body)
  if (Predicate.isObject(value) && "error" in value && value.error === "service_maintenance") {
    const maintenance = value as Record<string, unknown>
    return new Maintenance({
      ...about,
      detail: text(maintenance["reason"]) ?? detail,
      mode: text(maintenance["mode"]),
      startedAt: text(maintenance["started_at"])
    })
  }
  return new ServerFault({ ...about, retryAfter: retryAfter(answer.headers, answer.now) })
}

const isFaultyChoice = (choice: unknown): boolean =>
  Predicate.isObject(choice) &&
  (("error" in choice && choice.error !== null && choice.error !== undefined) ||
    ("finish_reason" in choice && choice.finish_reason === "error"))

/**
 * The error that an event of a stream, or an answer with status 200, reports; `undefined` where it reports none.
 *
 * Known shapes: `{"error": {…}}`, `{"error": "…"}`, the flat `{"object": "error", …}`, any payload of an event named `error`, and a choice
 * that holds an `error` or finished with the reason `error`.
 *
 * @category decoding
 * @since 0.1.0
 */
export const fromEvent = (value: unknown, source: string, event = "message"): StreamFault | undefined => {
  const body: Record<PropertyKey, unknown> = Predicate.isObject(value) ? value : {}
  const isError = (body["error"] !== undefined && body["error"] !== null) || body["object"] === "error" || event === "error"
  const choice: unknown = Array.isArray(body["choices"]) ? body["choices"].find(isFaultyChoice) : undefined
  if (!isError && choice === undefined) return undefined
  const { code, detail, type } = isError ? (Predicate.isObject(value) ? readObject(body) : read(source)) : readObject(choice as typeof body)
  return new StreamFault({
    detail: detail ?? "the server did not say what",
    type,
    status: code !== undefined && code >= 400 && code < 600 ? code : undefined,
    excerpt: excerpt(source)
  })
}

/**
 * The same for a text that should be JSON.
 *
 * @category decoding
 * @since 0.1.0
 */
export const fromText = (source: string): StreamFault | undefined => fromEvent(parse(source), source)
