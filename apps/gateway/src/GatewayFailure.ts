/**
 * Why a request fails, and its error in the caller's dialect: the envelope of Paradigm, or the error object of OpenAI. Neither has anything of
 * the gateway's inside.
 */
import type { ErrorEnvelope } from "@paradigm-effect/core/ParadigmApi"
import * as ServerSentEvents from "@paradigm-effect/core/ServerSentEvents"
import * as Data from "effect/Data"

const words = {
  400: "bad_request",
  401: "unauthorized",
  403: "forbidden",
  404: "not_found",
  405: "method_not_allowed",
  406: "not_acceptable",
  408: "request_timeout",
  413: "payload_too_large",
  415: "unsupported_media_type",
  422: "validation_error",
  429: "too_many_requests",
  431: "headers_too_large",
  500: "internal_error",
  501: "not_implemented",
  502: "bad_gateway",
  503: "service_unavailable",
  504: "gateway_timeout"
} as const

/** The shape of errors: Paradigm's at `/api/v3`, OpenAI's at `/v1`. */
export type Dialect = "paradigm" | "openai"

/** Maximum length of `detail`, in characters. */
const maxDetail = 2000

/** A request that ends with an error. */
export class GatewayFailure extends Data.TaggedError("GatewayFailure")<{
  readonly status: keyof typeof words
  /** For the caller: what is wrong, and what to do. */
  readonly detail: string
  /** What is wrong with each field, by its path. */
  readonly fields?: Readonly<Record<string, ReadonlyArray<string>>> | undefined
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** OpenAI's `code`. Defaults to the word of the status. */
  readonly code?: string | undefined
  /** For the operator's log alone. */
  readonly cause?: string | undefined
}> {
  override get message(): string {
    return this.detail
  }
}

const bounded = (detail: string) =>
  detail.length <= maxDetail ? detail : `${detail.slice(0, maxDetail)}… (${detail.length - maxDetail} more characters)`

const envelope = ({ detail, fields, status }: GatewayFailure, requestId: string): ErrorEnvelope => ({
  id: requestId,
  code: status,
  error: words[status],
  detail: bounded(detail),
  ...(fields === undefined
    ? {}
    : {
        fields: Object.fromEntries(
          Object.entries(fields).map(([name, problems]) => [
            name === "" ? "non_field_errors" : name,
            problems.map((problem) => ({ error: problem === "Missing key" ? "required" : "invalid", detail: problem }))
          ])
        )
      })
})

// OpenAI's types of errors. Its clients show the message, and choose the class of the error by the status.
const typeOf = (status: number) =>
  status === 401
    ? "authentication_error"
    : status === 403
      ? "permission_error"
      : status === 429
        ? "rate_limit_error"
        : status < 500
          ? "invalid_request_error"
          : "server_error"

const errorObject = ({ code, detail, fields = {}, status }: GatewayFailure) => {
  const [first] = Object.keys(fields)
  const problems = Object.entries(fields).map(([name, found]) => `${name === "" ? "" : `${name}: `}${found.join(", ")}`)
  return {
    message: bounded(problems.length === 0 ? detail : `${detail} ${problems.join("; ")}`),
    type: typeOf(status),
    param: first === undefined || first === "" ? null : first,
    code: code ?? words[status]
  }
}

/** The status of a failure in a dialect: OpenAI's endpoint answers an invalid field with 400. */
export const statusOf = ({ status }: GatewayFailure, dialect: Dialect): number => (dialect === "openai" && status === 422 ? 400 : status)

/** The JSON text of a failure. */
export const toBody = (failure: GatewayFailure, dialect: Dialect, requestId: string): string =>
  JSON.stringify(dialect === "openai" ? { error: errorObject(failure) } : envelope(failure, requestId))

/** The end of a stream that fails after its head: the error in band, as OpenAI's clients read it, then the end marker. */
export const toStreamEnd = (failure: GatewayFailure): string => {
  const { message, param } = errorObject(failure)
  const error = { message, type: words[failure.status], param, code: failure.status }
  return ServerSentEvents.encode({ data: JSON.stringify({ error }) }) + endMarker
}

/** The event that ends a stream. */
export const endMarker: string = ServerSentEvents.encode({ data: "[DONE]" })
