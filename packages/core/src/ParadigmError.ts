/**
 * The one error of this library. A `ParadigmError` says why in its `reason`, a closed union with one member per point of failure, and
 * carries what is known: the request's id, every attempt, and what had arrived before it failed.
 *
 * ```ts
 * Effect.catchReason("ParadigmError", "RateLimited", (reason) => Effect.sleep(reason.retryAfter ?? "1 second"))
 * ```
 *
 * No member holds the API key, the request's headers, or the request's body. The union is closed, so it stands in one file, long as that is.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import type { Anomaly } from "./Anomaly.ts"
import type { ChatCompletion, CompletionUsage } from "./ChatCompletion.ts"
import { describeFields, type Fields } from "./errors/FieldErrors.ts"

const bracketed = (fields: Fields) => (Object.keys(fields).length === 0 ? "" : ` [${describeFields(fields)}]`)

const units = [
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["m", 60_000],
  ["s", 1000],
  ["ms", 1]
] as const

// As in `1m 30s`. `Duration.format` says the same, from four times the code.
const spelled = (duration: Duration.Duration): string => {
  let rest = Math.round(Duration.toMillis(duration))
  const parts: Array<string> = []
  for (const [unit, size] of units) {
    if (rest >= size) parts.push(`${Math.floor(rest / size)}${unit}`)
    rest %= size
  }
  return parts.join(" ") || "0s"
}

const quoted = (detail: string | undefined) => (detail === undefined || detail === "" ? "" : `: ${detail}`)

/**
 * The client cannot be made: a key, base URL or option is missing or wrong. Nothing was sent. Correct `option`.
 *
 * @category reasons
 * @since 0.1.0
 */
export class InvalidConfiguration extends Data.TaggedError("InvalidConfiguration")<{
  /** The option or environment variable at fault. */
  readonly option: string
  readonly detail: string
}> {
  readonly isRetryable = false
  override get message(): string {
    return `${this.option} ${this.detail}`
  }
}

/**
 * The request is not one the endpoint could take. Nothing was sent. Correct what `fields` names.
 *
 * @category reasons
 * @since 0.1.0
 */
export class InvalidRequest extends Data.TaggedError("InvalidRequest")<{
  readonly detail: string
  /** What is wrong, by the field's path, as in `{ "messages[1].role": ["Missing key"] }`. */
  readonly fields: Fields
}> {
  readonly isRetryable = false
  override get message(): string {
    return `The request was not sent: ${this.detail}${bracketed(this.fields)}`
  }
}

/**
 * No connection: refused, unknown host, unreachable, or blocked by a browser's CORS rules. Check the base URL and that the server runs.
 *
 * @category reasons
 * @since 0.1.0
 */
export class ConnectFailed extends Data.TaggedError("ConnectFailed")<{
  /** The origin that was tried. */
  readonly origin: string
  /** The runtime's code, as in `ECONNREFUSED`, where it gives one. */
  readonly code: string | undefined
}> {
  readonly isRetryable = true
  override get message(): string {
    return `Could not connect to ${this.origin}${this.code === undefined ? "" : ` (${this.code})`}`
  }
}

/**
 * The server's certificate is not trusted, or TLS could not be agreed on. Give the runtime the certificate authority.
 *
 * @category reasons
 * @since 0.1.0
 */
export class TlsFailed extends Data.TaggedError("TlsFailed")<{
  readonly origin: string
  readonly code: string | undefined
}> {
  readonly isRetryable = false
  override get message(): string {
    return `No trusted TLS connection to ${this.origin}${this.code === undefined ? "" : ` (${this.code})`}`
  }
}

/**
 * A stage took longer than its limit. Only `connect` is retried: later ones may already have cost the server work.
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
    const what = {
      connect: "No connection",
      headers: "No response headers",
      firstChunk: "No first chunk",
      idle: "No further chunk",
      total: "Not finished"
    }[this.stage]
    return `${what} within ${spelled(this.limit)}`
  }
}

/**
 * The connection broke: while waiting for `headers` (retried), or in the `body` (not retried, what had arrived is kept).
 *
 * @category reasons
 * @since 0.1.0
 */
export class ConnectionLost extends Data.TaggedError("ConnectionLost")<{
  readonly phase: "headers" | "body"
  readonly code: string | undefined
}> {
  readonly isRetryable: boolean = this.phase === "headers"
  override get message(): string {
    const when = this.phase === "headers" ? "before the response began" : "in the middle of the response"
    return `The connection was lost ${when}${this.code === undefined ? "" : ` (${this.code})`}`
  }
}

/**
 * The server redirected. It is not followed, since that would send the key and the conversation elsewhere. Use the final URL.
 *
 * @category reasons
 * @since 0.1.0
 */
export class RedirectRefused extends Data.TaggedError("RedirectRefused")<{
  /** 301 to 308, or 0 where the runtime (a browser) hides it. */
  readonly status: number
  /** The origin it points to, where readable. */
  readonly origin: string | undefined
}> {
  readonly isRetryable = false
  override get message(): string {
    return `The server redirects${this.origin === undefined ? "" : ` to ${this.origin}`}; redirects are not followed`
  }
}

/** What every answer of the server with an error status tells. */
interface Answer {
  /** The HTTP status. */
  readonly status: number
  /** The server's own words, where it had any. */
  readonly detail: string | undefined
  /** The beginning of the body, at most 4096 characters. */
  readonly excerpt: string
}

/**
 * 401: the key is missing, unknown or expired.
 *
 * @category reasons
 * @since 0.1.0
 */
export class Unauthorized extends Data.TaggedError("Unauthorized")<Answer> {
  readonly isRetryable = false
  override get message(): string {
    return `The server does not accept the API key (${this.status})${quoted(this.detail)}`
  }
}

/**
 * 403: the key is known but may not do this.
 *
 * @category reasons
 * @since 0.1.0
 */
export class Forbidden extends Data.TaggedError("Forbidden")<Answer> {
  readonly isRetryable = false
  override get message(): string {
    return `The API key may not do this (${this.status})${quoted(this.detail)}`
  }
}

/**
 * 404 for the model (or the path): no such model, or not for this key.
 *
 * @category reasons
 * @since 0.1.0
 */
export class ModelNotFound extends Data.TaggedError("ModelNotFound")<Answer & { readonly model: string }> {
  readonly isRetryable = false
  override get message(): string {
    return `The server does not know the model "${this.model}" (${this.status})${quoted(this.detail)}`
  }
}

/**
 * 404: no such path. The server does not know the URL, or says nothing of a model. Check the base URL.
 *
 * @category reasons
 * @since 0.1.0
 */
export class NotFound extends Data.TaggedError("NotFound")<Answer & { readonly url: string }> {
  readonly isRetryable = false
  override get message(): string {
    return `The server has nothing at ${this.url} (${this.status})${quoted(this.detail)}; check the base URL`
  }
}

/**
 * 402, or 429 with `insufficient_quota`: the account's quota is used up. Waiting does not help, so it is not retried.
 *
 * @category reasons
 * @since 0.1.0
 */
export class QuotaExceeded extends Data.TaggedError("QuotaExceeded")<Answer> {
  readonly isRetryable = false
  override get message(): string {
    return `The quota is used up (${this.status})${quoted(this.detail)}`
  }
}

/**
 * The transport failed in a way that this library does not know. The platform's exception is in `cause`. It is not retried.
 *
 * @category reasons
 * @since 0.1.0
 */
export class TransportFailed extends Data.TaggedError("TransportFailed")<{
  readonly phase: "headers" | "body"
  /** The name of the platform's exception, for example `TypeError`. */
  readonly name: string
}> {
  readonly isRetryable = false
  override get message(): string {
    return `The transport failed unexpectedly (${this.name})`
  }
}

/**
 * The model server aborted the generation (`finish_reason: "abort"`), as vLLM does with running requests when it is stopped. The answer is
 * incomplete although the stream ended with `[DONE]`. What had arrived is in the error's `partial`.
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
    return "The model server aborted the generation (finish_reason abort); the answer is incomplete"
  }
}

/**
 * Another 4xx: the server refused the request. `fields` says what is wrong with which field, where the server tells.
 *
 * @category reasons
 * @since 0.1.0
 */
export class RequestRejected extends Data.TaggedError("RequestRejected")<
  Answer & {
    /** What is wrong, by the field's path, as in `{ "messages[1].role": ["required"] }`. */
    readonly fields: Fields
  }
> {
  readonly isRetryable: boolean = this.status === 408 || this.status === 409
  override get message(): string {
    return `The server refused the request (${this.status})${quoted(this.detail)}${bracketed(this.fields)}`
  }
}

/**
 * 429: too many requests. Wait `retryAfter`, where the server tells and the runtime lets it be read.
 *
 * @category reasons
 * @since 0.1.0
 */
export class RateLimited extends Data.TaggedError("RateLimited")<Answer & { readonly retryAfter: Duration.Duration | undefined }> {
  readonly isRetryable = true
  override get message(): string {
    const wait = this.retryAfter === undefined ? "" : `; retry after ${spelled(this.retryAfter)}`
    return `Too many requests (${this.status})${quoted(this.detail)}${wait}`
  }
}

/**
 * 503 with maintenance: the service was taken down on purpose. It is not retried.
 *
 * @category reasons
 * @since 0.1.0
 */
export class Maintenance extends Data.TaggedError("Maintenance")<
  Answer & {
    readonly mode: string | undefined
    /** When it began, as the server writes it. */
    readonly startedAt: string | undefined
  }
> {
  readonly isRetryable = false
  override get message(): string {
    return `The service is under maintenance (${this.status})${quoted(this.detail)}`
  }
}

/**
 * 5xx: the server or the model behind it failed. 502, 503 and 504 are retried.
 *
 * @category reasons
 * @since 0.1.0
 */
export class ServerFault extends Data.TaggedError("ServerFault")<Answer & { readonly retryAfter: Duration.Duration | undefined }> {
  readonly isRetryable: boolean = this.status >= 502 && this.status <= 504
  override get message(): string {
    return `The server failed (${this.status})${quoted(this.detail)}`
  }
}

/**
 * A success status with something else than a completion: a proxy's page, an empty body, JSON that is none or has the wrong shape.
 *
 * @category reasons
 * @since 0.1.0
 */
export class UnexpectedResponse extends Data.TaggedError("UnexpectedResponse")<{
  readonly status: number
  readonly contentType: string | undefined
  /** What is wrong with it, and where. */
  readonly detail: string
  readonly excerpt: string
}> {
  readonly isRetryable = false
  override get message(): string {
    return `The response (${this.status}, ${this.contentType ?? "no content type"}) is not a chat completion: ${this.detail}`
  }
}

/**
 * The stream ended before the completion was finished: without `[DONE]` while a choice had no finish reason, with `[DONE]` while no choice had
 * one, or without any chunk. What had arrived is in the error's `partial`. Set `acceptUnfinished` for servers that never send a finish reason.
 *
 * @category reasons
 * @since 0.1.0
 */
export class StreamTruncated extends Data.TaggedError("StreamTruncated")<{
  /** The number of chunks that arrived. */
  readonly chunks: number
  /** Whether the stream ended with `[DONE]`. */
  readonly done: boolean
  /** The beginning of a stream without chunks, at most 4096 characters. Empty when a chunk arrived. */
  readonly excerpt: string
}> {
  readonly isRetryable = false
  override get message(): string {
    const text = this.excerpt.trim().slice(0, 200)
    const when = this.chunks === 0 ? "before its first chunk" : `after ${this.chunks} chunks, before the completion was finished`
    return `The stream ended ${this.done ? "with [DONE] " : ""}${when}${quoted(text)}`
  }
}

/**
 * The server answered with success and then reported an error: in the stream, or instead of the completion. What had arrived is in the
 * error's `partial`.
 *
 * @category reasons
 * @since 0.1.0
 */
export class StreamFault extends Data.TaggedError("StreamFault")<{
  readonly detail: string
  /** The server's kind of error, as in `BadRequestError`. */
  readonly type: string | undefined
  /** The status the server would have answered, where it tells. */
  readonly status: number | undefined
  readonly excerpt: string
}> {
  readonly isRetryable = false
  override get message(): string {
    return `The server reported an error in its answer${quoted(this.detail)}`
  }
}

/**
 * An event of the stream is not a chunk: no JSON, the wrong shape, or larger than the limit. What had arrived is in the error's `partial`.
 *
 * @category reasons
 * @since 0.1.0
 */
export class MalformedChunk extends Data.TaggedError("MalformedChunk")<{
  /** What is wrong with it, and where. */
  readonly detail: string
  /** The event's text, at most 4096 characters. */
  readonly text: string
}> {
  readonly isRetryable = false
  override get message(): string {
    return `The stream holds an event that is not a chunk: ${this.detail}`
  }
}

/**
 * The model answered, but not with what was asked for: its text does not fit the schema, was cut off or is a refusal, or it called a tool
 * that does not exist or with arguments that do not fit. The whole completion is in the error's `partial`. Ask again, give it more tokens, or
 * tell the model what `detail` says.
 *
 * @category reasons
 * @since 0.1.0
 */
export class AnswerMismatch extends Data.TaggedError("AnswerMismatch")<{
  /** What is wrong with it, and where, as in `city.name: Missing key`. */
  readonly detail: string
  /** What the model wrote, at most 4096 characters. */
  readonly text: string
}> {
  readonly isRetryable = false
  override get message(): string {
    return `The model's answer does not fit: ${this.detail}`
  }
}

/**
 * Every way a call can fail.
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
  | RedirectRefused
  | Unauthorized
  | Forbidden
  | ModelNotFound
  | NotFound
  | QuotaExceeded
  | TransportFailed
  | Aborted
  | RequestRejected
  | RateLimited
  | Maintenance
  | ServerFault
  | UnexpectedResponse
  | StreamTruncated
  | StreamFault
  | MalformedChunk
  | AnswerMismatch

/**
 * One attempt of a call that failed.
 *
 * @category models
 * @since 0.1.0
 */
export interface Attempt {
  /** The tag of its reason. */
  readonly reason: ParadigmErrorReason["_tag"]
  readonly status: number | undefined
  readonly requestId: string | undefined
  readonly durationMillis: number
  /** The wait before the next attempt; `undefined` for the last one. */
  readonly delayMillis: number | undefined
}

interface Known {
  readonly reason: ParadigmErrorReason
  /** The server's id of the request (`x-request-id`), to be quoted to its operator. */
  readonly requestId?: string | undefined
  /** Every attempt of the call, in order. Empty where nothing was sent. */
  readonly attempts?: ReadonlyArray<Attempt> | undefined
  /** What of the completion had arrived. */
  readonly partial?: ChatCompletion | undefined
  /** The last usage that had arrived. */
  readonly usage?: CompletionUsage | undefined
  /** Deviations from the contract in what had arrived. */
  readonly anomalies?: ReadonlyArray<Anomaly> | undefined
}

// A reason without what makes it an error: what is left is JSON, with durations as milliseconds.
const plain = (reason: ParadigmErrorReason): Readonly<Record<string, unknown>> =>
  Object.fromEntries(
    Object.entries(reason).flatMap(([name, value]) =>
      value === undefined ? [] : [[name, Duration.isDuration(value) ? Duration.toMillis(value) : value]]
    )
  )

const TypeId = "~@paradigm-effect/core/ParadigmError"

/**
 * A failed call: its `reason`, and what is known about the call.
 *
 * @category errors
 * @since 0.1.0
 */
export class ParadigmError extends Data.TaggedError("ParadigmError")<Known> {
  readonly [TypeId] = TypeId

  /** The HTTP status of the answer, where there was one. */
  get status(): number | undefined {
    return "status" in this.reason ? this.reason.status : undefined
  }

  /** Whether the same call may succeed when it is made again. */
  get isRetryable(): boolean {
    return this.reason.isRetryable
  }

  constructor(known: Known) {
    super(known)
    const id = known.requestId === undefined ? "" : ` (request ${known.requestId})`
    // A property of its own, so that it goes along when the error is cloned.
    Object.defineProperty(this, "message", {
      value: `${known.reason._tag}: ${known.reason.message}${id}`,
      configurable: true,
      writable: true
    })
  }

  /** The same error, with more known about it. */
  with(more: Partial<Known>): ParadigmError {
    const { anomalies, attempts, partial, reason, requestId, usage } = this
    return new ParadigmError({ anomalies, attempts, partial, reason, requestId, usage, ...more })
  }

  /** Everything the error knows, as plain JSON. */
  override toJSON(): unknown {
    return {
      _tag: this._tag,
      message: this.message,
      isRetryable: this.isRetryable,
      requestId: this.requestId,
      attempts: this.attempts,
      reason: plain(this.reason),
      partial: this.partial,
      usage: this.usage
    }
  }
}

/**
 * Whether a value is a `ParadigmError`, also one of another copy of this library.
 *
 * @category guards
 * @since 0.1.0
 */
export const isParadigmError = (value: unknown): value is ParadigmError => typeof value === "object" && value !== null && TypeId in value

/** The beginning of a text that an error quotes, at most 4096 characters. */
export const excerpt = (text: string): string => (text.length <= 4096 ? text : `${text.slice(0, 4095)}…`)
