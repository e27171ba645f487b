/**
 * Why the gateway answers with an error, and the body it answers with: the v3 envelope, and `data:` events for streams that fail after
 * their first byte. Nothing here tells of the gateway's inside.
 */
import type { ErrorEnvelope } from "@paradigm-effect/core/ParadigmApi"
import * as ServerSentEvents from "@paradigm-effect/core/ServerSentEvents"
import * as Data from "effect/Data"
import * as HttpServerResponse from "effect/http/HttpServerResponse"

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
  500: "internal_error",
  502: "bad_gateway",
  503: "service_unavailable",
  504: "gateway_timeout"
} as const

/** A request that ends with an error status. */
export class GatewayFailure extends Data.TaggedError("GatewayFailure")<{
  readonly status: keyof typeof words
  /** For the caller: what went wrong. */
  readonly detail: string
  /** What is wrong with each field, by its path. */
  readonly fields?: Readonly<Record<string, ReadonlyArray<string>>> | undefined
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** For the operator's log alone. */
  readonly cause?: string | undefined
}> {
  override get message(): string {
    return this.detail
  }
}

const envelope = (failure: GatewayFailure, requestId: string): ErrorEnvelope => ({
  id: requestId,
  code: failure.status,
  error: words[failure.status],
  detail: failure.detail,
  ...(failure.fields === undefined
    ? {}
    : {
        fields: Object.fromEntries(
          Object.entries(failure.fields).map(([name, problems]) => [
            name === "" ? "non_field_errors" : name,
            problems.map((detail) => ({ error: detail === "Missing key" ? "required" : "invalid", detail }))
          ])
        )
      })
})

/** The answer to a request that failed before its first byte. */
export const toResponse = (failure: GatewayFailure, requestId: string): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.text(JSON.stringify(envelope(failure, requestId)), {
    status: failure.status,
    contentType: "application/json",
    headers: { ...failure.headers, "x-request-id": requestId }
  })

/** The end of a stream that failed after its first byte: the error in band, as OpenAI's clients know it, then the end marker. */
export const toStreamEnd = (failure: GatewayFailure): string => {
  const error = { message: failure.detail, type: words[failure.status], param: null, code: failure.status }
  return ServerSentEvents.encode({ data: JSON.stringify({ error }) }) + ServerSentEvents.encode({ data: "[DONE]" })
}
