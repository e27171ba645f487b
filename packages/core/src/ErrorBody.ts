/**
 * Decodes error responses into reasons: the bodies of Paradigm's v2 and v3, Django REST framework, vLLM, OpenAI-compatible servers, FastAPI and
 * proxies.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Predicate from "effect/Predicate"
import { add, beginningOf, join } from "./errors/FieldErrors.ts"
import { isText } from "./stream/toolCalls.ts"
import { tryParse } from "./json/jsonText.ts"
import {
  excerpt,
  Forbidden,
  Maintenance,
  ModelNotFound,
  NotFound,
  type ParadigmErrorReason,
  QuotaExceeded,
  RateLimited,
  RequestRejected,
  ServerFault,
  StreamFault,
  Unauthorized
} from "./ParadigmError.ts"

type HeadersByName = Readonly<Record<string, string | undefined>>

/**
 * A response with an error status.
 *
 * @category models
 * @since 0.1.0
 */
export interface RawErrorResponse {
  readonly status: number
  /** By lower-case name. */
  readonly headers: HeadersByName
  /** The part of the body that was read. */
  readonly body: string
  /** The requested model. */
  readonly model: string
  /** The URL of the request. Its query is never quoted. */
  readonly url: URL
  /** Unix milliseconds, to read a `retry-after` that is a date. */
  readonly now: number
}

const maxText = 500

// Text of the server, bounded for a message.
const text = (value: unknown): string | undefined => (typeof value === "string" && value !== "" ? beginningOf(value, maxText) : undefined)

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

// A code, not a sentence.
const word = (value: unknown): string | undefined =>
  typeof value === "number" ? String(value) : typeof value === "string" && /^[\w.:-]+$/.test(value) ? text(value) : undefined

type Body = Readonly<Record<PropertyKey, unknown>>

const wordsOf = ({ detail, error, message }: Body): string | undefined => text(detail) ?? text(message) ?? text(error)

const readObject = (body: Body) => {
  const { detail, error } = body
  const inner = Predicate.isObject(error) ? error : Predicate.isObject(detail) && wordsOf(detail) !== undefined ? detail : undefined
  const { code, doc_url, error: name, param, type } = inner === undefined ? body : { ...body, error: undefined, ...inner }
  const members = {
    code: word(name) ?? word(code),
    type: text(type),
    param: text(param),
    docUrl: text(doc_url),
    status: statusOf(code)
  }
  if (Array.isArray(detail)) {
    const fields = new Map<string, Array<string>>()
    for (const item of detail) {
      if (Predicate.isObject(item) && "msg" in item) add(fields, locationOf(item), text(item["msg"]) ?? "invalid")
    }
    const words = detail.filter((item) => typeof item === "string")
    return { ...members, detail: text(words.join(" ")), fields: Object.fromEntries(fields) }
  }
  const words = wordsOf(inner ?? body)
  if (inner !== undefined || words !== undefined) return { ...members, detail: words, fields: fieldsIn((inner ?? body)["fields"]) }
  const { non_field_errors: general, ...fields } = fieldsIn(body)
  return { ...members, detail: text(general?.join(" ")), fields }
}

type Reading = Partial<ReturnType<typeof readObject>> & { readonly detail: string | undefined }

const read = (body: string): Reading => {
  const value = tryParse(body)
  if (Predicate.isObject(value)) return readObject(value)
  if (typeof value === "string") return { detail: text(value) }
  if (Array.isArray(value)) {
    const words = value.map(problemOf).filter((problem) => problem !== undefined)
    if (words.length > 0) return { detail: text(words.join(" ")) }
  }
  const plain = body.trim()
  // The HTML page of a proxy is not quoted in the message. Its beginning is in the excerpt.
  return { detail: plain.startsWith("<") ? undefined : text(plain) }
}

// The three forms of an HTTP date. The last one does not name the time zone, which is always GMT.
const httpDate = /^[A-Z][a-z]+(, \d\d[ -]\w{3}[ -]\d{2,4} [\d:]{8} GMT| \w{3} [ \d]\d [\d:]{8} \d{4})$/

/**
 * Reads the delay before a retry from the response headers: `retry-after-ms`, or `retry-after` in seconds or as an HTTP date. LiteLLM forwards
 * the headers of its provider as `llm_provider-retry-after`. Returns `undefined` for any other value.
 *
 * @example
 * ```ts
 * import { ErrorBody } from "@paradigm-effect/core"
 *
 * console.log(String(ErrorBody.retryAfter({ "retry-after": "7" }, Date.now()))) // => 7000 millis
 * ```
 *
 * @category decoding
 * @since 0.1.0
 */
export const retryAfter = (headers: HeadersByName, now: number): Duration.Duration | undefined => {
  const exact = headers["retry-after-ms"]
  if (exact !== undefined && /^\d+(\.\d+)?$/.test(exact)) return Duration.millis(Number(exact))
  const value = headers["retry-after"] ?? headers["llm_provider-retry-after"]
  if (value === undefined) return undefined
  if (/^\d+(\.\d+)?$/.test(value)) return Duration.seconds(Number(value))
  if (!httpDate.test(value)) return undefined
  const date = Date.parse(value.endsWith("GMT") ? value : `${value} GMT`)
  return Number.isNaN(date) ? undefined : Duration.millis(Math.max(0, date - now))
}

const idHeaders = ["x-request-id", "request-id", "apim-request-id", "x-litellm-call-id"]

/**
 * Reads the server's id of a request from the headers of its response: `x-request-id`, `request-id`, `apim-request-id` (Azure) or
 * `x-litellm-call-id`.
 *
 * @example
 * ```ts
 * import { ErrorBody } from "@paradigm-effect/core"
 *
 * console.log(ErrorBody.requestId({ "x-litellm-call-id": "c-1" })) // => c-1
 * ```
 *
 * @category decoding
 * @since 0.1.0
 */
export const requestId = (headers: HeadersByName): string | undefined => text(headers[idHeaders.find((name) => headers[name]) ?? ""])

// Whether a 404 is about the model. mlx-lm responds with 404 to any error, and proxies respond with it to an unknown path: so a word in a
// path, or in a body that is not JSON, does not count.
const isAboutModel = ({ code, detail = "", param, type }: Reading, isJson: boolean, model: string): boolean =>
  /(?<![\w/-])(model|deployment)s?(?![\w/-])|model_not|deploymentnot/i.test(`${code} ${type} ${param} ${isJson ? detail : ""}`) ||
  (isJson && model.length > 3 && detail.includes(model))

/**
 * Decodes an error response into the reason of the error.
 *
 * @example
 * ```ts
 * import { ErrorBody } from "@paradigm-effect/core"
 *
 * const reason = ErrorBody.toReason({
 *   status: 400,
 *   headers: {},
 *   body: '{"error":"bad_request","detail":"max_tokens is too large"}',
 *   model: "alfred-4.2",
 *   url: new URL("https://paradigm.example.com/api/v3/chat/completions"),
 *   now: Date.now()
 * })
 * console.log(reason.message) // => The server rejected the request (400): max_tokens is too large
 * ```
 *
 * @category decoding
 * @since 0.1.0
 */
export const toReason = ({ body, headers, model, now, status, url }: RawErrorResponse): ParadigmErrorReason => {
  const { fields = {}, ...reading } = read(body)
  const { code, detail, type } = reading
  const about = { ...reading, status, excerpt: excerpt(body) }
  switch (status) {
    case 401:
      return new Unauthorized(about)
    case 402:
      return new QuotaExceeded(about)
    case 403:
      return new Forbidden(about)
    case 429:
      return /^(insufficient|billing)_| insufficient_/.test(`${code} ${type}`)
        ? new QuotaExceeded(about)
        : new RateLimited({ ...about, retryAfter: retryAfter(headers, now) })
  }
  if (status === 404 ? isAboutModel(reading, /^\s*[{"[]/.test(body), model) : status < 500 && code === "model_not_found") {
    return new ModelNotFound({ ...about, model: model.slice(0, 200) })
  }
  if (status === 404) return new NotFound({ ...about, url: url.origin + url.pathname })
  if (status < 500) return new RequestRejected({ ...about, fields })
  if (code !== "service_maintenance") return new ServerFault({ ...about, retryAfter: retryAfter(headers, now) })
  const { mode, reason, started_at } = tryParse(body) as Body
  return new Maintenance({ ...about, detail: text(reason) ?? detail, mode: text(mode), startedAt: text(started_at) })
}

const isFaultyChoice = (choice: unknown): boolean =>
  Predicate.isObject(choice) && (Boolean(choice["error"]) || choice["finish_reason"] === "error")

// Whether an event without choices has the fields of an error.
const isErrorBody = ({ code, detail, message, status, type }: Body): unknown =>
  type === "error" ||
  isText(detail) ||
  Array.isArray(detail) ||
  (isText(message) && ((code && code !== 200) || status === "error" || statusOf(status) !== undefined))

// Some servers do not escape the message of an error in JSON.
const unescapedError = /^\{\s*"error"\s*:\s*"?([^]*?)"?\s*\}?$/

/**
 * Reads the error that an event of a stream, or a response with status 200, reports. Returns `undefined` when it does not report an error.
 *
 * Known shapes: `{"error": {…}}`, `{"error": "…"}` (also when the text is not escaped), `{"errors": [{…}]}`, the flat `{"object": "error", …}`, any
 * other error body without choices, Groq's `x_groq.error`, MiniMax's `base_resp` with a `status_code` other than 0, any data of an event named `error`, and a choice with an `error` or the finish reason `error`.
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
  const body: Body = Predicate.isObject(value) ? value : {}
  const { base_resp: base, choices, errors, object, usage, x_groq } = body
  const hasChoices = (choices ?? undefined) !== undefined
  const error =
    body["error"] ??
    (Predicate.isObject(x_groq) ? x_groq["error"] : undefined) ??
    (Array.isArray(errors) ? errors[0] : undefined) ??
    (Predicate.isObject(base) && base["status_code"] ? { code: base["status_code"], message: base["status_msg"] } : undefined)
  // Some servers send an empty error with every chunk.
  const isEmpty = !error || (typeof error === "object" && Object.keys(error).length === 0)
  const words = value === undefined ? unescapedError.exec(source.slice(0, 4096).trim())?.[1] : undefined
  const isError =
    (hasChoices || usage || error === false ? !isEmpty : Predicate.isNotNullish(error)) ||
    (!hasChoices && isErrorBody(body)) ||
    object === "error" ||
    event === "error" ||
    words !== undefined
  const choice: unknown = Array.isArray(choices) ? choices.find(isFaultyChoice) : undefined
  if (!isError && choice === undefined) return undefined
  const reading: Reading = !isError
    ? readObject(choice as Body)
    : Predicate.isObject(value)
      ? readObject(Predicate.isNotNullish(error) ? { ...body, error } : body)
      : read(source)
  const { code, detail, docUrl, param, status, type } = reading
  return new StreamFault({
    detail: text(words) ?? detail ?? "the server did not say what",
    code,
    type,
    param,
    docUrl,
    status,
    excerpt: excerpt(source)
  })
}

/**
 * Decodes the error that a JSON text reports, as `fromEvent` does. Returns `undefined` when it does not report an error.
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
export const fromText = (source: string, event?: string): StreamFault | undefined => fromEvent(tryParse(source), source, event)
