// The errors of the client as errors of effect/ai.
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as AiError from "effect/ai/AiError"
import type { CompletionUsage } from "@paradigm-effect/core/ChatCompletion"
import type { ErrorResponse, ParadigmError, ParadigmErrorReason } from "@paradigm-effect/core/ParadigmError"

/** The operation that failed, as `AiError` names it. */
export type Method = "generateText" | "streamText"

/** Members that several reasons of effect/ai have. */
interface Details {
  readonly description: string
  readonly metadata: AiError.ProviderMetadata
  readonly http?: typeof AiError.HttpContext.Type
  readonly origin: string
  readonly usage?: typeof AiError.UsageInfo.Type
}

type Mapping = {
  readonly [Tag in ParadigmErrorReason["_tag"]]: (
    reason: Extract<ParadigmErrorReason, { readonly _tag: Tag }>,
    details: Details
  ) => AiError.AiErrorReason
}

const network = (_: unknown, { description, origin }: Details) =>
  new AiError.NetworkError({ reason: "TransportError", method: "POST", url: origin, description })

const internal = (_: unknown, { description, http, metadata }: Details) =>
  new AiError.InternalProviderError({ description, metadata, http })

const invalidResponse = (_: unknown, { description, http, metadata }: Details) =>
  new AiError.InvalidResponseError({ description, metadata, http })

const unknown = (_: unknown, { description, http, metadata }: Details) => new AiError.UnknownError({ description, metadata, http })

const invalidRequest = (parameter: string | undefined, { description, http, metadata }: Details) =>
  new AiError.InvalidRequestError({ ...(parameter === undefined ? {} : { parameter }), description, metadata, http })

const authentication = (kind: AiError.AuthenticationError["kind"], { description, http, metadata }: Details) =>
  new AiError.AuthenticationError({ kind, description, metadata, http })

const rateLimit = (retryAfter: Duration.Duration | undefined, { http, metadata }: Details) =>
  new AiError.RateLimitError({ ...(retryAfter === undefined ? {} : { retryAfter }), metadata, http })

const quota = (_: unknown, { http, metadata }: Details) => new AiError.QuotaExhaustedError({ metadata, http })

type Rejection = Pick<ErrorResponse, "code" | "param" | "type">

const isContentPolicy = ({ code, type }: Rejection) => /content_?(filter|policy)|responsible_?ai/i.test(`${code} ${type}`)

const rejected = (reason: Rejection, field: string | undefined, details: Details) =>
  isContentPolicy(reason)
    ? new AiError.ContentPolicyError({ description: details.description, metadata: details.metadata, http: details.http })
    : invalidRequest(reason.param ?? field, details)

// The compiler checks that every reason has an entry.
const mapping: Mapping = {
  InvalidConfiguration: ({ option }, details) =>
    /^(apiKey|PARADIGM_API_KEY)$/.test(option) ? authentication("Unknown", details) : invalidRequest(option, details),
  InvalidRequest: ({ fields }, details) => invalidRequest(Object.keys(fields)[0], details),
  ConnectFailed: network,
  TlsFailed: network,
  Timeout: network,
  ConnectionLost: network,
  TransportFailed: network,
  RedirectRefused: (_, details) => invalidRequest("baseUrl", details),
  Unauthorized: (_, details) => authentication("InvalidKey", details),
  Forbidden: (_, details) => authentication("InsufficientPermissions", details),
  ModelNotFound: (_, details) => invalidRequest("model", details),
  NotFound: (_, details) => invalidRequest("baseUrl", details),
  QuotaExceeded: quota,
  RequestRejected: (reason, details) =>
    // 408 and 409, which effect/ai has no reason for.
    reason.isRetryable ? internal(reason, details) : rejected(reason, Object.keys(reason.fields)[0], details),
  RateLimited: ({ retryAfter }, details) => rateLimit(retryAfter, details),
  Maintenance: internal,
  ServerFault: internal,
  UnexpectedResponse: invalidResponse,
  StreamTruncated: invalidResponse,
  // An error in the stream has the reason of its status.
  StreamFault: (reason, details) => {
    const { status = 500 } = reason
    if (isContentPolicy(reason)) return rejected(reason, undefined, details)
    if (status === 401) return authentication("InvalidKey", details)
    if (status === 402) return quota(reason, details)
    if (status === 403) return authentication("InsufficientPermissions", details)
    if (status === 429) return rateLimit(undefined, details)
    return status >= 500 || status === 408 || status === 409 ? internal(reason, details) : rejected(reason, undefined, details)
  },
  Aborted: internal,
  MalformedChunk: invalidResponse,
  AnswerMismatch: (_, { description, metadata, usage }) =>
    new AiError.InvalidOutputError({ description, metadata, ...(usage === undefined ? {} : { usage }) }),
  Closed: unknown
}

/** Token counts as the errors of effect/ai have them. */
export const usageInfo = (usage: CompletionUsage | null | undefined) =>
  usage === null || usage === undefined
    ? undefined
    : { promptTokens: usage.prompt_tokens, completionTokens: usage.completion_tokens, totalTokens: usage.total_tokens }

const detailsOf = (error: ParadigmError): Details => {
  const { message, reason, requestId, retryAfter, status } = error
  const { code, excerpt } = { code: undefined, excerpt: undefined, ...reason }
  const usage = usageInfo(error.usage)
  const origin = "origin" in reason ? reason.origin : undefined
  const paradigm = Object.entries({ reason: reason._tag, status, code, requestId, retryAfter, isRetryable: error.isRetryable })
  return {
    description: message,
    metadata: { paradigm: Object.fromEntries(paradigm.filter((entry) => entry[1] !== undefined)) as { [name: string]: string } },
    ...(status === undefined || status < 100 ? {} : { http: { response: { status, headers: {} }, ...(excerpt && { body: excerpt }) } }),
    ...(usage === undefined ? {} : { usage }),
    origin: origin ?? "/chat/completions"
  }
}

/** An `AiError` of this package. */
export const make = (method: Method, reason: AiError.AiErrorReason): AiError.AiError =>
  AiError.make({ module: "ParadigmLanguageModel", method, reason })

/** Converts an error of the client. The `cause` of the reason is the client's error. */
export const toAiError = (method: Method, error: ParadigmError): AiError.AiError => {
  const toReason = mapping[error.reason._tag] as (reason: ParadigmErrorReason, details: Details) => AiError.AiErrorReason
  const reason = toReason(error.reason, detailsOf(error))
  // Not enumerable: the error has the partial completion, which no serialized form of the reason should repeat.
  Object.defineProperty(reason, "cause", { value: error, configurable: true, writable: true })
  return make(method, reason)
}

/** Converts an exception of a function that throws reasons. Throws every other exception again. */
export const caught = (method: Method, error: unknown): AiError.AiError => {
  if (AiError.isAiErrorReason(error)) return make(method, error)
  throw error
}

/** Calls a function that throws reasons. */
export const attempt = <A>(method: Method, f: () => A): Effect.Effect<A, AiError.AiError> =>
  Effect.try({ try: f, catch: (error) => caught(method, error) })
