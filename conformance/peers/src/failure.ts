/**
 * What peers' errors have in common, in the suite's words: statuses, and what the platform's fetch fails with.
 */
import { type SubjectError, printedForms } from "@paradigm-effect/conformance/Subject"
import { inspect } from "node:util"

/** The part of a `SubjectError` that a peer's error says. */
export type Told = Omit<SubjectError, "message" | "printed">

/** The reason that an HTTP status stands for. A 404 is about the model if its text says so, and a 429 about the quota if its code does. */
export const reasonOf = (status: number, text: string, code: string | undefined): SubjectError["reason"] => {
  if (status === 402 || (status === 429 && code === "insufficient_quota")) return "QuotaExceeded"
  if (status === 404 && !/model/i.test(text)) return "NotFound"
  if (status === 401) return "Unauthorized"
  if (status === 403) return "Forbidden"
  if (status === 404) return "ModelNotFound"
  if (status === 429) return "RateLimited"
  return status >= 500 ? "ServerFault" : "RequestRejected"
}

const causes = function* (error: unknown): Generator<object> {
  const seen = new Set<unknown>()
  for (let at: unknown = error; typeof at === "object" && at !== null && !seen.has(at); at = "cause" in at ? at.cause : undefined) {
    seen.add(at)
    yield at
    if (at instanceof AggregateError) for (const inner of at.errors as ReadonlyArray<unknown>) yield* causes(inner)
  }
}

/** The system's code among an error and its causes, as in `ECONNREFUSED`, which a peer's user can look up there. */
export const codeOf = (error: unknown): string | undefined => {
  for (const cause of causes(error)) if ("code" in cause && typeof cause.code === "string") return cause.code
  return undefined
}

/** What a failed fetch came to, before the response began or in its body. */
export const fromTransport = (error: unknown, phase: "headers" | "body", retryable: boolean): Told => {
  const code = codeOf(error) ?? ""
  if (/^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH)$/.test(code)) return { reason: "ConnectFailed", retryable }
  if (/CERT|SELF_SIGNED|UNABLE_TO_VERIFY|^ERR_TLS|^ERR_SSL|EPROTO/.test(code)) return { reason: "TlsFailed", retryable }
  return { reason: "ConnectionLost", phase, retryable }
}

/** Whether an error, or a cause of it, is what fetch fails with when a connection breaks in the middle of a response. */
export const isBroken = (error: unknown): boolean => {
  for (const cause of causes(error)) if (cause instanceof TypeError && cause.message === "terminated") return true
  return false
}

/** An error that nothing in its class tells apart: its name is all there is to say. */
export const untold = (error: unknown): Told => ({ reason: error instanceof Error ? error.name : typeof error, retryable: false })

const textOf = (value: unknown): string =>
  value === undefined ? "" : value instanceof Error ? value.message : typeof value === "string" ? value : JSON.stringify(value)

/**
 * The whole of it, with every way in which the error can be printed. The server's body, where the error has it in a property, counts as part of
 * its message.
 */
export const toSubjectError = (error: unknown, told: Told, body: unknown): SubjectError => ({
  ...told,
  message: `${textOf(error)} ${textOf(body)}`.trim(),
  printed: printedForms(error, (value) => inspect(value, { depth: Infinity, showHidden: true }))
})
