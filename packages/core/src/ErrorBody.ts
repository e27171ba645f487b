/**
 * Every error body that a client of this endpoint meets, as one typed reason. Bodies come from Paradigm's v2 and v3, Django REST
 * framework, vLLM, OpenAI-compatible servers, FastAPI, and from the proxies between.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Predicate from "effect/Predicate"
import { add, join } from "./errors/FieldErrors.ts"
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

// A server's own words, as many as fit an error's message.
const text = (value: unknown): string | undefined => (typeof value === "string" && value !== "" ? value.slice(0, 500) : undefined)

// Problems as servers list them: texts, or `{error, detail}` each.
const problemOf = (value: unknown): string | undefined =>
  text(value) ?? (Predicate.isObject(value) ? (text(value["detail"]) ?? text(value["error"])) : undefined)

const maxDepth = 16

// `{"model": ["…"]}`, `{"messages": {"1": {"role": ["…"]}}}`, `{"model": "…"}` or, in the v3 envelope, lists of `{error, detail}`.
const collectFields = (value: unknown, path: string, into: Map<string, Array<string>>, depth: number): void => {
  const single = text(value)
  if (single !== undefined) return add(into, path, single)
  if (typeof value !== "object" || value === null || depth > maxDepth) return
  const problems = Array.isArray(value) ? value.map(problemOf) : []
  if (problems.length > 0 && problems.every((problem) => problem !== undefined)) {
    for (const problem of problems) add(into, path, problem)
    return
  }
  for (const [key, child] of Object.entries(value)) collectFields(child, join(path, key), into, depth + 1)
}

const fieldsIn = (value: unknown): Record<string, ReadonlyArray<string>> => {
  const fields = new Map<string, Array<string>>()
  if (typeof value === "object" && value !== null) {
    for (const [key, child] of Object.entries(value)) collectFields(child, join("", key), fields, 1)
  }
  return Object.fromEntries(fields)
}

const statusOf = (code: unknown): number | undefined => {
  const status = typeof code === "string" && /^\d{3}$/.test(code) ? Number(code) : code
  return typeof status === "number" && status >= 400 && status < 600 ? status : undefined
}

const isKey = (value: unknown): value is string | number => typeof value === "number" || (typeof value === "string" && value !== "body")

const locationOf = (item: Record<PropertyKey, unknown>): string => {
  const location: ReadonlyArray<unknown> = Array.isArray(item["loc"]) ? item["loc"] : []
  return location.filter(isKey).reduce<string>(join, "")
}

interface Reading {
  readonly detail: string | undefined
  readonly fields: Readonly<Record<string, ReadonlyArray<string>>>
  readonly type?: string | undefined
  readonly code?: number | undefined
}

const readObject = (body: Record<PropertyKey, unknown>): Reading => {
  const { code, detail, error, message, type } = body
  if (Predicate.isObject(error)) {
    return {
      detail: text(error["message"]) ?? text(error["detail"]),
      fields: {},
      type: text(error["type"]),
      code: statusOf(error["code"])
    }
  }
  if (Array.isArray(detail)) {
    const fields = new Map<string, Array<string>>()
    for (const item of detail) {
      if (Predicate.isObject(item) && "msg" in item) add(fields, locationOf(item), text(item["msg"]) ?? "invalid")
    }
    const words = detail.filter((item) => typeof item === "string")
    return { detail: text(words.join(" ")), fields: Object.fromEntries(fields) }
  }
  const known = text(detail) ?? text(message) ?? text(error)
  if (known !== undefined) return { detail: known, fields: fieldsIn(body["fields"]), type: text(type) ?? text(error), code: statusOf(code) }
  const { non_field_errors: general, ...fields } = fieldsIn(body)
  return { detail: text(general?.join(" ")), fields }
}

const read = (body: string): Reading => {
  const value = parse(body)
  if (Predicate.isObject(value)) return readObject(value)
  if (typeof value === "string") return { detail: text(value), fields: {} }
  if (Array.isArray(value)) {
    const words = value.map(problemOf).filter((problem) => problem !== undefined)
    if (words.length > 0) return { detail: text(words.join(" ")), fields: {} }
  }
  const plain = body.trim()
  // A proxy's page says nothing that is worth a line: its beginning stays readable in the excerpt.
  return { detail: plain === "" || plain.startsWith("<") ? undefined : text(plain), fields: {} }
}

// The three forms of an HTTP date. Only the last one does not name the zone, which is always GMT.
const httpDate =
  /^(Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*(, \d\d[ -][A-Z][a-z]{2}[ -]\d{2,4} \d\d:\d\d:\d\d GMT| [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4})$/

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
  if (!httpDate.test(value)) return undefined
  const date = Date.parse(value.endsWith("GMT") ? value : `${value} GMT`)
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

const isGiven = (value: unknown) => value !== undefined && value !== null

const isFaultyChoice = (choice: unknown): boolean =>
  Predicate.isObject(choice) && (Boolean(choice["error"]) || choice["finish_reason"] === "error")

// An event without choices that has an error's words.
const isErrorBody = ({ code, detail, message, status, type }: Readonly<Record<PropertyKey, unknown>>): boolean =>
  type === "error" ||
  text(detail) !== undefined ||
  Array.isArray(detail) ||
  (text(message) !== undefined && (text(code) ?? statusOf(code) ?? statusOf(status)) !== undefined)

// Some servers write an error's words into JSON without escaping them.
const unescapedError = /^\s*\{\s*"error"\s*:\s*"?([^]*?)"?\s*\}?\s*$/

/**
 * Reads the error that an event of a stream, or a response with status 200, reports. Returns `undefined` when it reports none.
 *
 * Known shapes: `{"error": {…}}`, `{"error": "…"}` (also when the text is not escaped), the flat `{"object": "error", …}`, any other error body
 * without choices, Groq's `x_groq.error`, any data of an event named `error`, and a choice with an `error` or the finish reason `error`.
 *
 * @example
 * ```ts
 * import { ErrorBody } from "@paradigm-effect/core"
 *
 * const data = `{"error": {"message": "The engine stopped", "code": 500}}`
 * console.log(ErrorBody.fromEvent(JSON.parse(data), data)?.detail) // => The engine stopped
 * ```
 *
 * @category decoding
 * @since 0.1.0
 */
export const fromEvent = (value: unknown, source: string, event = "message"): StreamFault | undefined => {
  const body: Readonly<Record<PropertyKey, unknown>> = Predicate.isObject(value) ? value : {}
  const { choices, object, x_groq } = body
  const hasChoices = isGiven(choices)
  const error = body["error"] ?? (Predicate.isObject(x_groq) ? x_groq["error"] : undefined)
  const words = value === undefined ? unescapedError.exec(source.slice(0, 4096))?.[1] : undefined
  const isError =
    (hasChoices ? Boolean(error) : isGiven(error) || isErrorBody(body)) || object === "error" || event === "error" || words !== undefined
  const choice: unknown = Array.isArray(choices) ? choices.find(isFaultyChoice) : undefined
  if (!isError && choice === undefined) return undefined
  const { code, detail, type } = !isError
    ? readObject(choice as typeof body)
    : Predicate.isObject(value)
      ? readObject(isGiven(error) ? { ...body, error } : body)
      : read(source)
  return new StreamFault({
    detail: text(words) ?? detail ?? "the server did not say what",
    type,
    status: code,
    excerpt: excerpt(source)
  })
}

/**
 * Reads the error that a text reports, which should be JSON. Returns `undefined` when it reports none.
 *
 * @example
 * ```ts
 * import { ErrorBody } from "@paradigm-effect/core"
 *
 * console.log(ErrorBody.fromText(`{"error": "overloaded"}`)?.detail) // => overloaded
 * console.log(ErrorBody.fromText("<html></html>")) // => undefined
 * ```
 *
 * @category decoding
 * @since 0.1.0
 */
export const fromText = (source: string, event?: string): StreamFault | undefined => fromEvent(parse(source), source, event)
