/**
 * Why a model server fails a request, and what the caller is told: an error of the caller passes with its words, one of the server or of the
 * operator does not. No key of a model server is in any of them.
 */
import * as ErrorBody from "@paradigm-effect/core/ErrorBody"
import type { ParadigmErrorReason, StreamFault } from "@paradigm-effect/core/ParadigmError"
import * as Redacted from "effect/Redacted"
import { GatewayFailure } from "./GatewayFailure.ts"
import type { ReplicaTarget } from "./Replica.ts"
import type { Outcome } from "./RequestRecord.ts"
import { StageTimeout } from "./UpstreamCall.ts"

/** How an attempt failed. */
export interface Failed {
  readonly failure: GatewayFailure
  /** Whether another replica may answer. */
  readonly isRetryable: boolean
  /** Whether it counts against the health of the replica. */
  readonly isFault: boolean
  readonly outcome?: Outcome
}

// A shorter key is a word, for example the `EMPTY` that is customary with local servers.
const minSecret = 12

const codeOf = (error: unknown): string => {
  const code = typeof error === "object" && error !== null && "code" in error ? error.code : undefined
  return typeof code === "string" ? code : error instanceof Error ? error.name : "unknown"
}

const withoutKey = (text: string, target: ReplicaTarget): string => {
  const key = target.apiKey === undefined ? "" : Redacted.value(target.apiKey)
  return key.length < minSecret ? text : text.replaceAll(key, "<redacted>")
}

/** A failure of the model server. */
export const badGateway = (cause: string, detail = "The model server failed.") => new GatewayFailure({ status: 502, detail, cause })

const detailOf = (reason: ParadigmErrorReason): string | undefined =>
  "detail" in reason && typeof reason.detail === "string" && reason.detail !== "" ? reason.detail : undefined

const fieldsOf = (reason: ParadigmErrorReason | StreamFault, detail: string | undefined, target: ReplicaTarget) => {
  const clean = (text: string) => withoutKey(text, target)
  if ("fields" in reason && Object.keys(reason.fields).length > 0) {
    return Object.fromEntries(Object.entries(reason.fields).map(([name, problems]) => [clean(name), problems.map(clean)]))
  }
  const param = "param" in reason && typeof reason.param === "string" && reason.param !== "" ? reason.param : undefined
  return param === undefined ? undefined : { [clean(param.replace(/^body\./, ""))]: [detail ?? "Invalid"] }
}

const passed = new Set<number>([400, 413, 422, 429, 501])

/** The failure of a request whose connection was lost, or that took too long. */
export const lossOf = (error: unknown): Failed => {
  const cause = error instanceof StageTimeout ? error.message : codeOf(error)
  const isLate = error instanceof StageTimeout || /TIMEOUT/.test(cause)
  return {
    failure: isLate
      ? new GatewayFailure({ status: 504, detail: "The model server did not answer in time.", cause })
      : badGateway(cause, "The model server cannot be reached, or broke off."),
    // A model server that takes too long is not replaced by another: the time is used up.
    isRetryable: !(error instanceof StageTimeout),
    isFault: true
  }
}

/** A response whose status is not 200. */
export interface Refusal {
  readonly status: number
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly body: string
}

/** The failure of a refused request. `name` is the model that was asked for. */
export const refusalOf = (target: ReplicaTarget, name: string, { body, headers, status }: Refusal): Failed => {
  const reason = ErrorBody.toReason({ status, headers, body, model: name, url: target.url, now: Date.now() })
  const said = detailOf(reason)
  const detail = said === undefined ? undefined : withoutKey(said, target)
  const words = detail === undefined ? "" : `: ${detail.slice(0, 300)}`
  const cause = `${target.url.href} answered ${status} for the model ${target.model}${words}`
  const retryAfter = Object.fromEntries(
    ["retry-after", "retry-after-ms"].flatMap((header) => (headers[header] === undefined ? [] : [[header, headers[header]]]))
  )
  if (passed.has(status)) {
    const failure = new GatewayFailure({
      status: status as 400,
      detail: status === 429 ? "Too many requests for the model server." : (detail ?? "The model server refused the request."),
      fields: fieldsOf(reason, detail, target),
      headers: retryAfter,
      cause
    })
    return { failure, isRetryable: false, isFault: false }
  }
  switch (status) {
    case 503: {
      const headers = { "retry-after": "1", ...retryAfter }
      const failure = new GatewayFailure({ status, detail: "The model server is overloaded or not ready.", headers, cause })
      return { failure, isRetryable: true, isFault: false }
    }
    case 504:
      return {
        failure: new GatewayFailure({ status, detail: "The model server did not answer in time.", cause }),
        isRetryable: true,
        isFault: true
      }
    default:
      return { failure: badGateway(cause), isRetryable: true, isFault: true }
  }
}

/** The failure of a request whose answer of status 200 has an error. */
export const faultOf = (target: ReplicaTarget, fault: StreamFault): Failed => {
  const { code, status } = fault
  const told = status ?? (typeof code === "number" ? code : Number(code))
  const detail = withoutKey(fault.detail, target)
  const isOurs = passed.has(told)
  const failure = new GatewayFailure({
    status: isOurs ? (told as 400) : 502,
    detail,
    fields: isOurs ? fieldsOf(fault, detail, target) : undefined,
    cause: `an error in the answer: ${detail.slice(0, 300)}`
  })
  return { failure, isRetryable: !isOurs, isFault: !isOurs }
}

/** A failure, with the reasons why no other replica goes on with the stream. */
export const withReason = (failed: Failed, reasons: ReadonlyArray<string>): Failed => {
  const cause = `${failed.failure.cause ?? failed.failure.detail}; not carried on: ${reasons.join("; ").slice(0, 300)}`
  return { ...failed, failure: new GatewayFailure({ ...failed.failure, cause }) }
}
