/**
 * Refusals, in the words and the shape of the server that is imitated.
 *
 * @since 0.1.0
 */
import type { Profile } from "./Profile.ts"

/**
 * What is wrong with one field of the body, as the server's validator says it. `input` is the refused value.
 *
 * @category models
 * @since 0.1.0
 */
export interface Problem {
  readonly type: string
  /** From the body on: `["temperature"]`, `["messages", 0, "role"]`. */
  readonly path: ReadonlyArray<string | number>
  readonly message: string
  readonly input: unknown
  readonly context?: Readonly<Record<string, unknown>> | undefined
}

/**
 * Why a request is refused.
 *
 * `form`: fields that are not what they must be. `check`: a rule over the whole body. `own`: anything the server finds later.
 * `media`: the content type. `detail` and `crash`: answers of the web framework under the server.
 *
 * @category models
 * @since 0.1.0
 */
export type Refusal =
  | { readonly kind: "form"; readonly problems: ReadonlyArray<Problem> }
  | { readonly kind: "check"; readonly message: string; readonly body: unknown; readonly param?: string; readonly isValueError?: boolean }
  | {
      readonly kind: "own"
      readonly status: number
      readonly type: string
      readonly message: string
      readonly param?: string
      readonly value?: unknown
    }
  | { readonly kind: "media" }
  | { readonly kind: "detail"; readonly status: number; readonly detail: string; readonly headers?: Readonly<Record<string, string>> }
  | { readonly kind: "unauthorized" }
  | { readonly kind: "crash"; readonly message: string; readonly isText?: boolean }

/** @since 0.1.0 */
export type OwnRefusal = Extract<Refusal, { kind: "own" }>

/**
 * An answer that is not a completion.
 *
 * @category models
 * @since 0.1.0
 */
export interface Reply {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/**
 * A refusal with status 400, found by the server itself.
 *
 * @category constructors
 * @since 0.1.0
 */
export const badRequest = (message: string, param?: string, value?: unknown): OwnRefusal => ({
  kind: "own",
  status: 400,
  type: "BadRequestError",
  message,
  ...(param === undefined ? {} : { param }),
  ...(value === undefined ? {} : { value })
})

// Names of vLLM; other statuses have the name of a broken server.
const types: Readonly<Record<number, string>> = {
  400: "BadRequestError",
  404: "NotFoundError",
  422: "UnprocessableEntityError",
  429: "Too Many Requests",
  500: "InternalServerError",
  503: "Service Unavailable"
}

/**
 * A refusal with any status.
 *
 * @category constructors
 * @since 0.1.0
 */
export const ofStatus = (status: number, message: string): OwnRefusal => ({
  kind: "own",
  status,
  type: types[status] ?? "InternalServerError",
  message
})

/**
 * An error in the middle of an answer: in a stream, and in place of a whole one.
 *
 * @category models
 * @since 0.1.0
 */
export interface Failure {
  readonly inBand: OwnRefusal
  readonly whole: OwnRefusal
}

/**
 * What a server says whose engine is dead. Older ones blame the request in their streams.
 *
 * @category constructors
 * @since 0.1.0
 */
export const engineDeath = ({ errors }: Profile): Failure => {
  const whole = ofStatus(500, "EngineCore encountered an issue. See stack trace (above) for the root cause.")
  if (errors.crash === "message") return { inBand: whole, whole }
  return { inBand: badRequest(whole.message), whole: { ...whole, type: "Internal Server Error" } }
}

/** A number of a field that Python holds as a float. */
export class Float {
  readonly value: number

  constructor(value: number) {
    this.value = value
  }
}

/** A name that Python writes without quotes. */
class Bare {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }
}

const quote = (text: string): string => {
  const escaped = text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n").replaceAll("\r", "\\r").replaceAll("\t", "\\t")
  return escaped.includes("'") && !escaped.includes('"') ? `"${escaped}"` : `'${escaped.replaceAll("'", "\\'")}'`
}

const deepest = 64

/**
 * A JSON value as Python writes it. What is nested deeper than 64 levels is `...`.
 *
 * @category rendering
 * @since 0.1.0
 */
export const python = (value: unknown, depth = 0): string => {
  if (value === null || value === undefined) return "None"
  if (value === true) return "True"
  if (value === false) return "False"
  if (value instanceof Bare) return value.text
  if (value instanceof Float) return Number.isInteger(value.value) ? `${value.value}.0` : String(value.value)
  if (typeof value === "string") return quote(value)
  if (depth > deepest) return "..."
  if (Array.isArray(value)) return `[${value.map((inner) => python(inner, depth + 1)).join(", ")}]`
  if (typeof value === "object") {
    const entries = Object.entries(value).map(([key, inner]) => `${quote(key)}: ${python(inner, depth + 1)}`)
    return `{${entries.join(", ")}}`
  }
  return typeof value === "number" || typeof value === "bigint" ? value.toString() : ""
}

/** A refused value without its content. */
const summary = (value: unknown): string => {
  if (Array.isArray(value)) return `<list of ${value.length} items>`
  if (typeof value === "object" && value !== null) return `<dict of ${Object.keys(value).length} items>`
  return typeof value === "string" ? value : python(value)
}

const where = ({ path }: Problem) => ["body", ...path]

const asDict = (problem: Problem): string => {
  const path = where(problem)
  const location = path.length === 1 ? "('body',)" : `(${path.map((key) => python(key)).join(", ")})`
  const fields = [
    `'type': ${quote(problem.type)}`,
    `'loc': ${location}`,
    `'msg': ${quote(problem.message)}`,
    `'input': ${python(problem.input)}`,
    ...(problem.context === undefined ? [] : [`'ctx': ${python(problem.context)}`])
  ]
  return `{${fields.join(", ")}}`
}

// The newest servers name no branch of a union, and show no values but texts and numbers.
const branch = /^(str|generator\[.*|list\[.*)$/
const lineOf = (problem: Problem): string => {
  const fields = [
    `'type': ${quote(problem.type)}`,
    `'loc': ${quote(locationOf(problem))}`,
    `'msg': ${quote(problem.message)}`,
    `'input': ${quote(summary(problem.input))}`,
    ...(problem.context === undefined ? [] : [`'ctx': ${python(problem.context)}`])
  ]
  return `  {${fields.join(", ")}}`
}
const locationOf = (problem: Problem) =>
  where(problem)
    .filter((key) => typeof key === "number" || !branch.test(key))
    .join(".")

const mostProblems = 10
const count = (problems: ReadonlyArray<unknown>) => `${problems.length} validation error${problems.length === 1 ? "" : "s"}`

const sayProblems = (problems: ReadonlyArray<Problem>, style: Profile["errors"]["problems"]): string => {
  const list = `[${problems.map(asDict).join(", ")}]`
  if (style === "list") return list
  if (style === "trace") {
    const lines = problems.map((problem) => `  ${asDict(problem)}`).join("\n")
    const trace =
      '\n\n  File "/site-packages/vllm/entrypoints/utils.py", line 40, in create_chat_completion\n    POST /v1/chat/completions '
    return `${count(problems)}:\n${lines}${trace}${list}`
  }
  const lines = problems.slice(0, mostProblems).map(lineOf)
  const more = problems.length > mostProblems ? [`  ...and ${problems.length - mostProblems} more errors`] : []
  return [`${count(problems)}:`, ...lines, ...more].join("\n")
}

interface Fault {
  readonly status: number
  readonly type: string
  readonly message: string
  readonly param: string | null
}

const mediaMessage = "Unsupported Media Type: Only 'application/json' is allowed"

const parameter = (param: string | undefined, value: unknown) =>
  param === undefined ? "" : value === undefined ? ` (parameter=${param})` : ` (parameter=${param}, value=${python(value)})`

const faultOf = (refusal: Extract<Refusal, { kind: "form" | "check" | "own" | "media" }>, profile: Profile): Fault => {
  const { errors } = profile
  switch (refusal.kind) {
    case "form": {
      const [first] = refusal.problems
      const param = errors.problems === "lines" && first !== undefined ? locationOf(first) : null
      return { status: 400, type: errors.bodyType, message: sayProblems(refusal.problems, errors.problems), param }
    }
    case "check": {
      const names = errors.params && !(errors.checks === "problem" && refusal.isValueError === true)
      const message = refusal.message + parameter(names ? refusal.param : undefined, undefined)
      const param = names ? (refusal.param ?? null) : null
      if (errors.checks === "sentence") return { status: 400, type: "BadRequestError", message, param }
      const error = new Bare(`${names && refusal.param !== undefined ? "VLLMValidationError" : "ValueError"}(${quote(refusal.message)})`)
      const problem = { type: "value_error", path: [], message: `Value error, ${message}`, input: refusal.body, context: { error } }
      return { status: 400, type: errors.bodyType, message: sayProblems([problem], errors.problems), param }
    }
    case "own":
      return {
        status: refusal.status,
        type: refusal.type,
        message: refusal.message + (errors.params && refusal.status === 400 ? parameter(refusal.param, refusal.value) : ""),
        param: errors.params ? (refusal.param ?? null) : null
      }
    case "media": {
      const listed = ` [${python(mediaMessage)}]`
      const message = {
        list: listed,
        trace: `1 validation error:\n  ${mediaMessage}${listed}`,
        lines: `1 validation error:\n  ${mediaMessage}`
      }[errors.problems]
      return { status: 400, type: errors.bodyType, message, param: null }
    }
  }
}

// Other servers have types of their own for the same refusals.
const otherTypes: Readonly<Record<number, string>> = { 400: "invalid_request_error", 401: "authentication_error", 404: "not_found_error" }

// A proxy quotes what the server behind it said.
const litellmNames: Readonly<Record<number, readonly [name: string, type: string]>> = {
  400: ["BadRequestError", "invalid_request_error"],
  401: ["AuthenticationError", "authentication_error"],
  404: ["NotFoundError", "invalid_request_error"],
  429: ["RateLimitError", "throttling_error"],
  503: ["ServiceUnavailableError", "internal_server_error"]
}

const litellmError = (status: number, quoted: string) => {
  const [name, type] = litellmNames[status] ?? ["InternalServerError", "internal_server_error"]
  const message = `litellm.${name}: ${status === 400 ? "" : `${name}: `}Hosted_vllmException - ${quoted}`
  return { message, type, param: null, code: String(status) }
}

const bodyOf = ({ message, param, status, type }: Fault, shape: Profile["errors"]["shape"]): object => {
  const otherType = otherTypes[status] ?? "server_error"
  switch (shape) {
    case "flat":
      return { object: "error", message, type, param, code: status }
    case "nested":
      return { error: { message, type, param, code: status } }
    case "ollama":
      return { error: { message, type: otherType, param: null, code: null } }
    case "llamacpp":
      return { error: { code: status, message, type: otherType } }
    case "litellm":
      return { error: litellmError(status, JSON.stringify(bodyOf({ message, param, status, type }, "nested"))) }
    case "text":
      return { error: message }
    case "detail":
      return { detail: message }
  }
}

const json = (status: number, body: object, headers: Readonly<Record<string, string>> = {}): Reply => ({
  status,
  headers: { "content-type": "application/json", ...headers },
  body: JSON.stringify(body)
})

/**
 * The answer to a refused request.
 *
 * @category rendering
 * @since 0.1.0
 */
export const reply = (refusal: Refusal, profile: Profile): Reply => {
  const { errors } = profile
  if (errors.shape === "litellm" && refusal.kind === "unauthorized") {
    return json(400, { error: { message: "No connected db.", type: "no_db_connection", param: null, code: "400" } })
  }
  if (errors.shape === "litellm" && refusal.kind === "own" && refusal.status === 404) {
    const { message } = refusal
    const provider_specific_fields = { error: message }
    return json(400, { error: { message, type: "invalid_request_error", param: null, code: "400", provider_specific_fields } })
  }
  if (refusal.kind === "unauthorized") return json(401, { error: "Unauthorized" })
  if (refusal.kind === "detail") return json(refusal.status, { detail: refusal.detail }, refusal.headers)
  if (refusal.kind === "media" && errors.media === 415) return json(415, { detail: mediaMessage })
  if (refusal.kind === "crash") {
    if (errors.crash === "text" || refusal.isText === true) {
      return { status: 500, headers: { "content-type": "text/plain; charset=utf-8" }, body: "Internal Server Error" }
    }
    const message = errors.crash === "message" ? refusal.message : ""
    const type = errors.crash === "message" ? "InternalServerError" : "Internal Server Error"
    return json(500, bodyOf({ status: 500, type, message, param: null }, errors.shape))
  }
  const fault = faultOf(refusal, profile)
  return json(fault.status, bodyOf(fault, errors.shape))
}

/**
 * JSON with the blanks that Python's `json.dumps` writes.
 *
 * @category rendering
 * @since 0.1.0
 */
export const spaced = (value: unknown): string => {
  if (Array.isArray(value)) return `[${value.map(spaced).join(", ")}]`
  if (typeof value !== "object" || value === null) {
    const text = JSON.stringify(value) ?? "null"
    return text.replaceAll(/[\u007f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)
  }
  const entries = Object.entries(value).filter(([, inner]) => inner !== undefined)
  return `{${entries.map(([key, inner]) => `${spaced(key)}: ${spaced(inner)}`).join(", ")}}`
}

/**
 * A refusal as the data of an event, for streams that have begun.
 *
 * @category rendering
 * @since 0.1.0
 */
const inBand = (refusal: OwnRefusal, profile: Profile): string => {
  const { message, param, status, type } = faultOf(refusal, profile)
  if (profile.errors.shape === "litellm") return spaced({ error: litellmError(status, message) })
  const object = profile.errors.shape === "flat" ? { object: "error" } : {}
  return spaced({ error: { ...object, message, type, param, code: status } })
}

/**
 * The data of the events that end a stream with an error.
 *
 * @category rendering
 * @since 0.1.0
 */
export const events = (refusal: OwnRefusal, profile: Profile): ReadonlyArray<string> => [
  inBand(refusal, profile),
  ...(profile.stream.doneAfterError ? ["[DONE]"] : [])
]
