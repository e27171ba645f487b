/**
 * The error of this library. The `reason` of a `ParadigmError` is a closed union with one class per kind of failure. The other members have
 * the details of the call: the request id, every attempt, and the partial completion.
 *
 * ```ts
 * Effect.catchReason("ParadigmError", "RateLimited", (reason) => Effect.sleep(reason.retryAfter ?? "1 second"))
 * ```
 *
 * No member holds the API key, the request headers or the request body. The file is long because a closed union belongs in one file.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import type { Anomaly } from "./Anomaly.ts"
import type { ChatCompletion, CompletionUsage } from "./ChatCompletion.ts"
import { beginningOf, describeFields, type Fields } from "./errors/FieldErrors.ts"

const bracketed = (fields: Fields) => (Object.keys(fields).length === 0 ? "" : ` [${describeFields(fields)}]`)

// For example `1.5s`. `Duration.format` needs ten times the code.
const inSeconds = (duration: Duration.Duration) => `${Duration.toMillis(duration) / 1000}s`

const quoted = (detail: string | undefined) => (detail === undefined || detail === "" ? "" : `: ${detail}`)

const inBrackets = (code: string | undefined) => (code === undefined ? "" : ` (${code})`)

/**
 * An option of the client or of a call is missing, wrong or unknown. Nothing was sent. Correct `option`.
 *
 * @category reasons
 * @since 0.1.0
 */
export class InvalidConfiguration extends Data.TaggedError("InvalidConfiguration")<{
  /** The path of the option, for example `timeouts.idle`, or the name of the environment variable that was read for it. */
  readonly option: string
  /** What is wrong with the option. */
  readonly detail: string
  /** The exception of an `apiKey` function, without secrets. */
  readonly cause?: unknown
}> {
  readonly isRetryable = false
  override get message(): string {
    return this.detail.startsWith("unknown option") ? this.detail : `${this.option} ${this.detail}`
  }
}

/**
 * The request does not have the shape that the endpoint accepts. Nothing was sent. Correct the fields that `fields` names.
 *
 * @category reasons
 * @since 0.1.0
 */
export class InvalidRequest extends Data.TaggedError("InvalidRequest")<{
  readonly detail: string
  /** Problems by the path of the field, for example `{ "messages[1].role": ["Missing key"] }`. Lists at most 20 and counts the others. */
  readonly fields: Fields
}> {
  readonly isRetryable = false
  override get message(): string {
    return `The request was not sent: ${this.detail}${bracketed(this.fields)}`
  }
}

/**
 * No connection was made: it was refused, the host is unknown or unreachable, or a browser's CORS rules blocked the call. Check the base URL
 * and that the server runs. In a browser, check that the server allows the page's origin.
 *
 * @category reasons
 * @since 0.1.0
 */
export class ConnectFailed extends Data.TaggedError("ConnectFailed")<{
  /** The origin of the endpoint, the path of a Unix socket after `unix:`, or in Node `proxy` and the origin of the proxy. */
  readonly origin: string
  /** The runtime's error code, for example `ECONNREFUSED`. `undefined` in browsers and Deno. */
  readonly code: string | undefined
}> {
  readonly isRetryable = true
  override get message(): string {
    const hint = this.code === undefined ? ": unreachable, or refused by CORS" : ""
    return `Could not connect to ${this.origin}${inBrackets(this.code)}${hint}`
  }
}

/**
 * The server's certificate is not trusted, or the TLS handshake failed. Add the certificate authority to the runtime.
 *
 * @category reasons
 * @since 0.1.0
 */
export class TlsFailed extends Data.TaggedError("TlsFailed")<{
  /** The origin of the endpoint. */
  readonly origin: string
  /** The runtime's error code, for example `CERT_HAS_EXPIRED`. */
  readonly code: string | undefined
}> {
  readonly isRetryable = false
  override get message(): string {
    return `No trusted TLS connection to ${this.origin}${inBrackets(this.code)}`
  }
}

/**
 * A stage took longer than its limit. Only `connect` is retried, because later stages may have cost the server work. Raise
 * `timeouts.<stage>` if the server needs more time.
 *
 * @category reasons
 * @since 0.1.0
 */
export class Timeout extends Data.TaggedError("Timeout")<{
  readonly stage: "connect" | "headers" | "firstChunk" | "idle" | "total"
  readonly limit: Duration.Duration
}> {
  readonly isRetryable: boolean = this.stage === "connect"
  override get message(): string {
    return `The call took longer than timeouts.${this.stage} (${inSeconds(this.limit)})`
  }
}

/**
 * The connection broke. In the phase `headers` the call is retried. In the phase `body` it is not retried. The error's `partial` has the
 * partial completion.
 *
 * @category reasons
 * @since 0.1.0
 */
export class ConnectionLost extends Data.TaggedError("ConnectionLost")<{
  readonly phase: "headers" | "body"
  /** The runtime's error code, for example `ECONNRESET`. `undefined` in browsers and Deno. */
  readonly code: string | undefined
}> {
  readonly isRetryable: boolean = this.phase === "headers"
  override get message(): string {
    return `The connection was lost ${this.phase === "headers" ? "before" : "during"} the response${inBrackets(this.code)}`
  }
}

/**
 * The transport failed with an exception that this library does not know, for example one that a custom `fetch` throws. The exception is in
 * `cause`, without secrets. It is not retried.
 *
 * @category reasons
 * @since 0.1.0
 */
export class TransportFailed extends Data.TaggedError("TransportFailed")<{
  readonly phase: "headers" | "body"
  /** The name of the exception's class, for example `TypeError`. */
  readonly exception: string
  readonly cause?: unknown
}> {
  readonly isRetryable = false
  override get message(): string {
    return `Unknown exception: ${this.exception}${this.cause instanceof Error ? quoted(this.cause.message) : ""}`
  }
}

/**
 * The server redirected. The client does not follow, because that would send the key and the conversation elsewhere. Set `baseUrl` to the
 * final URL.
 *
 * @category reasons
 * @since 0.1.0
 */
export class RedirectRefused extends Data.TaggedError("RedirectRefused")<{
  /** 301 to 308, or 0 if the runtime (a browser) hides it. */
  readonly status: number
  /** The redirect's target without its query, if it is readable. */
  readonly url: string | undefined
}> {
  readonly isRetryable = false
  override get message(): string {
    return `The server redirects${this.url === undefined ? "" : ` to ${this.url}`}; set baseUrl to the final URL`
  }
}

/**
 * The members of every reason that comes from a response with an error status. A member is `undefined` when the server did not send it.
 *
 * @category models
 * @since 0.1.0
 */
export interface ErrorResponse {
  /** The HTTP status. */
  readonly status: number
  /** The server's description, for people. Its wording may change. At most 500 characters. */
  readonly detail: string | undefined
  /** The server's code of the error: Paradigm's `error`, OpenAI's `code`. Use it in a `switch`. A number is converted to a string. */
  readonly code?: string | undefined
  /** The server's type of error, for example `BadRequestError`. */
  readonly type?: string | undefined
  /** The request field that the server names, for example `temperature`. */
  readonly param?: string | undefined
  /** The address of the server's documentation of the error. */
  readonly docUrl?: string | undefined
  /** The beginning of the body, at most 4096 characters. */
  readonly excerpt: string
}

const answered = (what: string, { detail, status }: ErrorResponse) => `${what} (${status})${quoted(detail)}`

/**
 * 401: the key is missing, unknown or expired. An `apiKey` function is called once more before a call fails with this reason.
 *
 * @category reasons
 * @since 0.1.0
 */
export class Unauthorized extends Data.TaggedError("Unauthorized")<ErrorResponse> {
  readonly isRetryable = false
  override get message(): string {
    return answered("The server does not accept the API key", this)
  }
}

/**
 * 403: the server knows the key but does not allow the request. Ask the operator for the permission.
 *
 * @category reasons
 * @since 0.1.0
 */
export class Forbidden extends Data.TaggedError("Forbidden")<ErrorResponse> {
  readonly isRetryable = false
  override get message(): string {
    return answered("The API key does not permit this request", this)
  }
}

/**
 * The model does not exist, or the key has no access to it. Choose another `model`.
 *
 * @category reasons
 * @since 0.1.0
 */
export class ModelNotFound extends Data.TaggedError("ModelNotFound")<ErrorResponse & { readonly model: string }> {
  readonly isRetryable = false
  override get message(): string {
    return answered(`The server does not know the model "${this.model}"`, this)
  }
}

/**
 * 404 that is not about the model: usually a wrong base URL, or a proxy without a route. Check `baseUrl`.
 *
 * @category reasons
 * @since 0.1.0
 */
export class NotFound extends Data.TaggedError("NotFound")<
  ErrorResponse & {
    /** The URL of the request without its query. */
    readonly url: string
  }
> {
  readonly isRetryable = false
  override get message(): string {
    return `${answered(`The server has nothing at ${this.url}`, this)}; check baseUrl and its path`
  }
}

/**
 * 402, or 429 with a code such as `insufficient_quota`: the quota or balance of the account is used up. It is not retried, because waiting
 * does not help.
 *
 * @category reasons
 * @since 0.1.0
 */
export class QuotaExceeded extends Data.TaggedError("QuotaExceeded")<ErrorResponse> {
  readonly isRetryable = false
  override get message(): string {
    return answered("The quota of the account is used up", this)
  }
}

/**
 * Another 4xx: the server rejected the request. `fields` names the fields, if the server does. 408 and 409 are retried.
 *
 * @category reasons
 * @since 0.1.0
 */
export class RequestRejected extends Data.TaggedError("RequestRejected")<
  ErrorResponse & {
    /** Problems by the path of the field, for example `{ "messages[1].role": ["required"] }`. Lists at most 20 and counts the others. */
    readonly fields: Fields
  }
> {
  readonly isRetryable: boolean = this.status === 408 || this.status === 409
  override get message(): string {
    const { param } = this
    const named = param === undefined || this.detail?.includes(param) === true ? "" : ` (field ${param})`
    return `${answered("The server rejected the request", this)}${named}${bracketed(this.fields)}`
  }
}

/**
 * 429: too many requests. Wait for `retryAfter`. If it is `undefined`, send fewer requests.
 *
 * @category reasons
 * @since 0.1.0
 */
export class RateLimited extends Data.TaggedError("RateLimited")<
  ErrorResponse & {
    /** The delay that the server asks for. Browsers can read it only when the server exposes the header. */
    readonly retryAfter: Duration.Duration | undefined
  }
> {
  readonly isRetryable = true
  override get message(): string {
    return `${answered("Too many requests", this)}${this.retryAfter === undefined ? "" : `; retry after ${inSeconds(this.retryAfter)}`}`
  }
}

/**
 * 503 with `service_maintenance`: the service is under maintenance. It is not retried. Try again later.
 *
 * @category reasons
 * @since 0.1.0
 */
export class Maintenance extends Data.TaggedError("Maintenance")<
  ErrorResponse & {
    /** The kind of maintenance, for example `full_shutdown`. */
    readonly mode: string | undefined
    /** The start of the maintenance, as the server writes it. */
    readonly startedAt: string | undefined
  }
> {
  readonly isRetryable = false
  override get message(): string {
    return answered("The service is under maintenance", this)
  }
}

/**
 * 5xx: the server or the model behind it failed. 502, 503 and 504 are retried.
 *
 * @category reasons
 * @since 0.1.0
 */
export class ServerFault extends Data.TaggedError("ServerFault")<
  ErrorResponse & {
    /** The delay that the server asks for. */
    readonly retryAfter: Duration.Duration | undefined
  }
> {
  readonly isRetryable: boolean = this.status >= 502 && this.status <= 504
  override get message(): string {
    return answered("The server failed", this)
  }
}

/**
 * A success status without a chat completion: a proxy's page, an empty body, a body that is not JSON or has another shape. Check that
 * `baseUrl` is the address of an endpoint.
 *
 * @category reasons
 * @since 0.1.0
 */
export class UnexpectedResponse extends Data.TaggedError("UnexpectedResponse")<{
  readonly status: number
  readonly contentType: string | undefined
  /** What is wrong with the response, and at which path. */
  readonly detail: string
  /** The beginning of the body, at most 4096 characters. */
  readonly excerpt: string
}> {
  readonly isRetryable = false
  override get message(): string {
    return `The response (${this.status}, ${this.contentType ?? "no content type"}) is not a chat completion: ${this.detail}`
  }
}

/**
 * The stream ended before the completion was finished. The error's `partial` has the partial completion.
 *
 * @category reasons
 * @since 0.1.0
 */
export class StreamTruncated extends Data.TaggedError("StreamTruncated")<{
  /** The number of received chunks. */
  readonly chunks: number
  /** Whether the stream ended with `[DONE]`. */
  readonly isDone?: boolean | undefined
  /** The beginning of a body without chunks, at most 4096 characters. */
  readonly excerpt?: string | undefined
}> {
  readonly isRetryable = false
  override get message(): string {
    const { chunks, excerpt, isDone } = this
    const end = `The stream ended${isDone === true ? " with [DONE]" : ""} after ${chunks} chunks`
    if (chunks === 0) return end + quoted(excerpt?.trim().slice(0, 200))
    return `${end} without a finish reason${isDone === true ? "; see the option acceptUnfinished" : ""}`
  }
}

/**
 * The server responded with success and then reported an error: in the stream, or instead of the completion. The error's `partial`
 * has the partial completion.
 *
 * @category reasons
 * @since 0.1.0
 */
export class StreamFault extends Data.TaggedError("StreamFault")<
  Omit<ErrorResponse, "status" | "detail"> & {
    readonly detail: string
    /** The status that the server would have responded with, if the error names one. */
    readonly status: number | undefined
  }
> {
  readonly isRetryable = false
  override get message(): string {
    return `The server reported an error in its response${quoted(this.detail)}`
  }
}

/**
 * The model server aborted the generation (`finish_reason: "abort"`), as vLLM does with running requests when it is stopped. The answer is
 * incomplete although the response ended normally. The error's `partial` has the partial completion.
 *
 * @category reasons
 * @since 0.1.0
 */
export class Aborted extends Data.TaggedError("Aborted")<{
  /** The indices of the choices that were aborted. */
  readonly choices: ReadonlyArray<number>
}> {
  readonly isRetryable = true
  override get message(): string {
    return "The model server aborted the answer"
  }
}

/**
 * An event of the stream is not a chunk: it is not JSON, has another shape or is larger than the limit. The error's `partial` has the partial
 * completion.
 *
 * @category reasons
 * @since 0.1.0
 */
export class MalformedChunk extends Data.TaggedError("MalformedChunk")<{
  /** What is wrong with the event, and at which path. */
  readonly detail: string
  /** The beginning of the event's text, at most 4096 characters. */
  readonly text: string
}> {
  readonly isRetryable = false
  override get message(): string {
    return `The stream has an event that is not a chunk: ${this.detail}`
  }
}

/**
 * The model's answer does not fit the request: its text does not fit the schema, was cut off or is a refusal, or it called a tool that does
 * not exist or with arguments that do not fit. The whole completion is in the error's `partial`. Ask again, raise `max_tokens`, or send
 * `detail` to the model.
 *
 * @category reasons
 * @since 0.1.0
 */
export class AnswerMismatch extends Data.TaggedError("AnswerMismatch")<{
  /** What does not fit, and at which path, for example `city.name: Missing key`. */
  readonly detail: string
  /** The beginning of the model's text, at most 4096 characters. */
  readonly text: string
}> {
  readonly isRetryable = false
  override get message(): string {
    return `The model's answer does not fit: ${this.detail}`
  }
}

/**
 * The program closed the client or the stream before the end of the call. It is not retried.
 *
 * @category reasons
 * @since 0.1.0
 */
export class Closed extends Data.TaggedError("Closed")<{
  readonly what: "client" | "stream"
}> {
  readonly isRetryable = false
  override get message(): string {
    return `The ${this.what} was closed before the call had ended`
  }
}

/**
 * The union of all reasons.
 *
 * @category reasons
 * @since 0.1.0
 */
export type ParadigmErrorReason =
  | InvalidConfiguration
  | InvalidRequest
  | ConnectFailed
  | TlsFailed
  | Timeout
  | ConnectionLost
  | TransportFailed
  | RedirectRefused
  | Unauthorized
  | Forbidden
  | ModelNotFound
  | NotFound
  | QuotaExceeded
  | RequestRejected
  | RateLimited
  | Maintenance
  | ServerFault
  | UnexpectedResponse
  | StreamTruncated
  | StreamFault
  | Aborted
  | MalformedChunk
  | AnswerMismatch
  | Closed

/**
 * The tags of all reasons, for tables that must have an entry for each. The compiler checks that the list is complete.
 *
 * @example
 * ```ts
 * import { ParadigmError } from "@paradigm-effect/core"
 *
 * console.log(ParadigmError.reasons.includes("RateLimited")) // => true
 * ```
 *
 * @category reasons
 * @since 0.1.0
 */
export const reasons = /* @__PURE__ */ Object.keys({
  InvalidConfiguration: true,
  InvalidRequest: true,
  ConnectFailed: true,
  TlsFailed: true,
  Timeout: true,
  ConnectionLost: true,
  TransportFailed: true,
  RedirectRefused: true,
  Unauthorized: true,
  Forbidden: true,
  ModelNotFound: true,
  NotFound: true,
  QuotaExceeded: true,
  RequestRejected: true,
  RateLimited: true,
  Maintenance: true,
  ServerFault: true,
  UnexpectedResponse: true,
  StreamTruncated: true,
  StreamFault: true,
  Aborted: true,
  MalformedChunk: true,
  AnswerMismatch: true,
  Closed: true
} satisfies { readonly [Tag in ParadigmErrorReason["_tag"]]: true }) as ReadonlyArray<ParadigmErrorReason["_tag"]>

/**
 * The record of one attempt of a failed call: one request that was sent, or that failed to be sent.
 *
 * @category models
 * @since 0.1.0
 */
export interface AttemptRecord {
  /** The tag of the reason for which it failed. */
  readonly reason: ParadigmErrorReason["_tag"]
  readonly status: number | undefined
  readonly requestId: string | undefined
  readonly durationMillis: number
  /** The delay before the next attempt. `undefined` for the last attempt. */
  readonly delayMillis: number | undefined
}

interface Details {
  readonly reason: ParadigmErrorReason
  /** The server's id of the request (`x-request-id` and similar headers), for its operator. */
  readonly requestId?: string | undefined
  /** The partial completion. `undefined` before the first chunk. */
  readonly partial?: ChatCompletion | undefined
  /** The last usage that was received. */
  readonly usage?: CompletionUsage | undefined
  /** Deviations of the received part from the contract. */
  readonly anomalies?: ReadonlyArray<Anomaly> | undefined
}

interface Attempts {
  /** Every attempt of the call, in order. Empty if nothing was sent. */
  readonly attempts: ReadonlyArray<AttemptRecord>
}

// The enumerable members that have a value. Durations are milliseconds.
const defined = (members: object): Readonly<Record<string, unknown>> =>
  Object.fromEntries(
    Object.entries(members).flatMap(([name, value]) =>
      value === undefined ? [] : [[name, Duration.isDuration(value) ? Duration.toMillis(value) : value]]
    )
  )

const plainCause = (cause: unknown, depth = 0): unknown =>
  cause instanceof Error && depth < 8
    ? {
        name: cause.name,
        message: cause.message,
        code: "code" in cause && typeof cause.code === "string" ? cause.code : undefined,
        cause: plainCause(cause.cause, depth + 1)
      }
    : undefined

const TypeId = "~@paradigm-effect/core/ParadigmError"

/**
 * A failed call. `reason` is the kind of failure. The other members have the details of the call.
 *
 * @example
 * ```ts
 * import { ParadigmError } from "@paradigm-effect/core"
 *
 * const reason = new ParadigmError.ConnectFailed({ origin: "http://localhost:8000", code: "ECONNREFUSED" })
 * const error = new ParadigmError.ParadigmError({ reason })
 * console.log(error.message) // => ConnectFailed: Could not connect to http://localhost:8000 (ECONNREFUSED)
 * console.log(error.isRetryable, error.attempts.length) // => true 0
 * ```
 *
 * @category errors
 * @since 0.1.0
 */
export class ParadigmError extends Data.TaggedError("ParadigmError")<Details & Attempts> {
  constructor(details: Details & Partial<Attempts>) {
    const { reason } = details
    super(defined({ attempts: [], ...details, cause: reason.cause }) as unknown as Details & Attempts)
    // The frames are those of this library.
    Object.defineProperty(reason, "stack", { value: `${reason._tag}: ${reason.message}` })
    const id = details.requestId === undefined ? "" : ` (request ${details.requestId})`
    // An own property, because `structuredClone` drops getters.
    Object.defineProperty(this, "message", {
      value: `${reason._tag}: ${reason.message}${id}`,
      configurable: true,
      writable: true
    })
  }

  get [TypeId]() {
    return TypeId
  }

  /** The HTTP status of the response. `undefined` without a response. */
  get status(): number | undefined {
    return "status" in this.reason ? this.reason.status : undefined
  }

  /** How long the server asks to wait before the next call, in milliseconds. */
  get retryAfter(): number | undefined {
    const { reason } = this
    return "retryAfter" in reason && reason.retryAfter !== undefined ? Duration.toMillis(reason.retryAfter) : undefined
  }

  /** Whether the same call may succeed when it is made again. */
  get isRetryable(): boolean {
    return this.reason.isRetryable
  }

  /** Returns the error with other details. */
  with(more: Partial<Details & Attempts>): ParadigmError {
    return new ParadigmError({ ...this, ...more })
  }

  /** Returns all details as plain JSON. */
  override toJSON(): unknown {
    const { _tag, isRetryable, message, reason } = this
    return { _tag, message, isRetryable, ...(this as object), reason: defined(reason), cause: plainCause(reason.cause) }
  }
}

/**
 * Checks whether a value is a `ParadigmError`, also one of another copy of this library.
 *
 * @example
 * ```ts
 * import { ParadigmError } from "@paradigm-effect/core"
 *
 * console.log(ParadigmError.isParadigmError(new Error("other"))) // => false
 * ```
 *
 * @category guards
 * @since 0.1.0
 */
export const isParadigmError = (value: unknown): value is ParadigmError => typeof value === "object" && value !== null && TypeId in value

/**
 * Cuts a text to the length that errors quote: at most 4096 characters.
 *
 * @example
 * ```ts
 * import { ParadigmError } from "@paradigm-effect/core"
 *
 * console.log(ParadigmError.excerpt("x".repeat(10_000)).length) // => 4096
 * ```
 *
 * @category formatting
 * @since 0.1.0
 */
export const excerpt = (text: string): string => beginningOf(text, 4096)
