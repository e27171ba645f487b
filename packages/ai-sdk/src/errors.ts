// The client's errors as the AI SDK's.
import { APICallError, InvalidArgumentError, LoadAPIKeyError } from "@ai-sdk/provider"
import { isParadigmError, type ParadigmError } from "@paradigm-effect/core/ParadigmError"

/** The kind of failure of a request that was sent. */
export type ParadigmFailure =
  | "ConnectFailed"
  | "TlsFailed"
  | "Timeout"
  | "ConnectionLost"
  | "TransportFailed"
  | "RedirectRefused"
  | "Unauthorized"
  | "Forbidden"
  | "ModelNotFound"
  | "NotFound"
  | "QuotaExceeded"
  | "RequestRejected"
  | "RateLimited"
  | "Maintenance"
  | "ServerFault"
  | "UnexpectedResponse"
  | "StreamTruncated"
  | "StreamFault"
  | "Aborted"
  | "MalformedChunk"
  | "AnswerMismatch"
  | "Closed"

/**
 * The `data` of an `APICallError` of this provider.
 *
 * @category errors
 * @since 0.1.0
 */
export interface ParadigmErrorData {
  /** The kind of failure. */
  readonly reason: ParadigmFailure
  /** The server's code of the error: Paradigm's `error`, OpenAI's `code`. */
  readonly code?: string | undefined
  /** The server's type of error, for example `BadRequestError`. */
  readonly type?: string | undefined
  /** The request field that the server names. */
  readonly param?: string | undefined
  /** The address of the server's documentation of the error. */
  readonly docUrl?: string | undefined
  /** Problems by the path of the field. */
  readonly fields?: Readonly<Record<string, ReadonlyArray<string>>> | undefined
  /** The stage that took too long, of `Timeout`. */
  readonly stage?: "connect" | "headers" | "firstChunk" | "idle" | "total" | undefined
  /** Whether the connection broke before the response (`headers`) or in it (`body`). */
  readonly phase?: "headers" | "body" | undefined
  /** The server's id of the request, for its operator. */
  readonly requestId?: string | undefined
  /** How long the server asks to wait, in milliseconds. */
  readonly retryAfter?: number | undefined
  /** The partial completion, in the format of the wire. */
  readonly partial?: Readonly<Record<string, unknown>> | undefined
  /** The last usage that was received, in the format of the wire. */
  readonly usage?: Readonly<Record<string, unknown>> | undefined
}

/**
 * Returns the details of an `APICallError` of this provider, and `undefined` for any other value. They are plain JSON.
 *
 * @example
 * ```ts
 * import { createParadigm, paradigmErrorData } from "@paradigm-effect/ai-sdk"
 * import { generateText } from "ai"
 *
 * const paradigm = createParadigm({ baseUrl: "http://127.0.0.1:49151", apiKey: "sk-0123456789abcdef" })
 * try {
 *   await generateText({ model: paradigm("alfred-4.2"), prompt: "Say hello", maxRetries: 0 })
 * } catch (error) {
 *   console.log(paradigmErrorData(error)?.reason) // => ConnectFailed
 * }
 * ```
 *
 * @category errors
 * @since 0.1.0
 */
export const paradigmErrorData = (error: unknown): ParadigmErrorData | undefined =>
  APICallError.isInstance(error) && isParadigmError(error.cause) ? (error.data as ParadigmErrorData) : undefined

/** What is known of a failed call. */
export interface FailedCall {
  readonly url: string
  readonly status: number | undefined
  readonly headers: Record<string, string> | undefined
  readonly request: object
  /** Whether the caller has received a part of the answer. */
  readonly isDelivered?: boolean
}

const isKeyOption = (option: string) => /^(apiKey|\w+_API_KEY)$/.test(option)

const detailNames = ["code", "type", "param", "docUrl", "fields", "stage", "phase"]

const dataOf = (error: ParadigmError, reason: ParadigmFailure): ParadigmErrorData => {
  const details = Object.entries(error.reason).filter(([name, value]) => detailNames.includes(name) && value !== undefined)
  const { partial, requestId, retryAfter, usage } = error
  const others = Object.entries({ requestId, retryAfter, partial, usage }).filter(([, value]) => value !== undefined)
  return { reason, ...Object.fromEntries([...details, ...others]) }
}

// A response that reports an error instead of an answer is like a response with the status of the error.
const isRetryable = ({ isRetryable, reason }: ParadigmError, isDelivered: boolean): boolean =>
  reason._tag === "StreamFault" && !isDelivered ? [408, 409, 429, 502, 503, 504].includes(reason.status ?? 0) : isRetryable

// An error may be logged, and the conversation does not belong into logs.
const withoutMessages = (request: object): object => Object.fromEntries(Object.entries(request).filter(([name]) => name !== "messages"))

/** Returns the error that the caller of the model receives. An error that is not the client's is returned as it is. */
export const toProviderError = (error: unknown, call: FailedCall): unknown => {
  if (!isParadigmError(error)) return error
  const { headers, isDelivered = false, request, status, url } = call
  const { reason } = error
  switch (reason._tag) {
    case "InvalidConfiguration":
      return isKeyOption(reason.option)
        ? new LoadAPIKeyError({ message: reason.message })
        : new InvalidArgumentError({ argument: reason.option, message: reason.message, cause: error })
    case "InvalidRequest": {
      const [field = "request"] = Object.keys(reason.fields)
      return new InvalidArgumentError({ argument: field, message: reason.message, cause: error })
    }
  }
  const statusCode = error.status ?? status
  const responseBody = "excerpt" in reason ? reason.excerpt : "text" in reason ? reason.text : undefined
  return new APICallError({
    message: error.message,
    url,
    requestBodyValues: withoutMessages(request),
    isRetryable: isRetryable(error, isDelivered),
    data: dataOf(error, reason._tag),
    cause: error,
    ...(statusCode === undefined ? {} : { statusCode }),
    ...(headers === undefined ? {} : { responseHeaders: headers }),
    ...(responseBody === undefined ? {} : { responseBody })
  })
}
