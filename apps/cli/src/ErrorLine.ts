/**
 * The terminal's lines for a failure: one that says what failed and where, and a hint.
 */
import { isParadigmError, type ParadigmErrorReason } from "@paradigm-effect/core/ParadigmError"

type Tag = ParadigmErrorReason["_tag"]

const address = "Check that the server runs, and that --base-url or PARADIGM_BASE_URL is its address."
const again = "Any answer above is incomplete. Try again."
const later = "Try again later."

// Every reason has an entry, so that a new one does not compile without a decision.
const hints: {
  readonly [T in Tag]: string | undefined | ((reason: Extract<ParadigmErrorReason, { readonly _tag: T }>) => string | undefined)
} = {
  InvalidConfiguration: ({ option }) =>
    /^(apiKey|.*_API_KEY)$/.test(option)
      ? "Set the environment variable PARADIGM_API_KEY to your key."
      : "The URL comes from --base-url or the environment variable PARADIGM_BASE_URL.",
  InvalidRequest: undefined,
  ConnectFailed: ({ code }) =>
    code?.startsWith("PROXY_") === true ? "Check the proxy of HTTPS_PROXY or HTTP_PROXY, or name the host in NO_PROXY." : address,
  TlsFailed: ({ code }) =>
    code === "ERR_SSL_WRONG_VERSION_NUMBER" || code === "ERR_SSL_PACKET_LENGTH_TOO_LONG"
      ? "The server does not speak TLS at this port: try http:// in place of https://."
      : "Trust the server's certificate: set NODE_EXTRA_CA_CERTS to the file of its certificate authority.",
  Timeout: again,
  ConnectionLost: again,
  TransportFailed: "Set PARADIGM_DEBUG=true to see the exception.",
  RedirectRefused: "Set --base-url or PARADIGM_BASE_URL to the final address.",
  Unauthorized: "Check PARADIGM_API_KEY.",
  Forbidden: "Ask the administrator of the endpoint for the permission.",
  ModelNotFound: "Choose another model with --model.",
  NotFound: ({ url }) =>
    `Check --base-url or PARADIGM_BASE_URL: ${
      url.endsWith("/api/v3/chat/completions") ? "the path of the server may be missing, for example /v1" : "its path may be wrong"
    }.`,
  QuotaExceeded: "Raise the quota of the account, or use another key.",
  RequestRejected: ({ status }) => (status === 405 ? "Check the path of --base-url or PARADIGM_BASE_URL." : undefined),
  RateLimited: later,
  Maintenance: later,
  ServerFault: later,
  UnexpectedResponse: "Check that --base-url or PARADIGM_BASE_URL is the address of a Paradigm endpoint.",
  StreamTruncated: again,
  StreamFault: again,
  Aborted: again,
  MalformedChunk: undefined,
  AnswerMismatch: undefined,
  Closed: undefined
}

const hintFor = <T extends Tag>(tag: T, reason: Extract<ParadigmErrorReason, { readonly _tag: T }>): string | undefined => {
  const hint = hints[tag]
  return typeof hint === "function" ? hint(reason) : hint
}

/** The lines for any failure. An unexpected one shows no internals. */
export const errorLine = (error: unknown): string => {
  if (!isParadigmError(error)) {
    const known = typeof error === "object" && error !== null && "_tag" in error && error instanceof Error
    return known ? error.message : "Unexpected error. Set PARADIGM_DEBUG=true to see it."
  }
  const { reason, requestId } = error
  const hint = hintFor(reason._tag, reason)
  const id = requestId === undefined ? "" : ` (request ${requestId})`
  return `${reason.message}${id}${hint === undefined ? "" : `\n${hint}`}`
}
