/**
 * What a terminal shows of a failure: one line that says what and where, and a hint what to do.
 */
import { isParadigmError, type ParadigmError } from "@paradigm-effect/core/ParadigmError"

const hintFor = (error: ParadigmError): string | undefined => {
  switch (error.reason._tag) {
    case "InvalidConfiguration":
      return /^(apiKey|PARADIGM_API_KEY)$/.test(error.reason.option)
        ? "Put your key into the environment variable PARADIGM_API_KEY."
        : "The URL comes from --base-url or the environment variable PARADIGM_BASE_URL."
    case "ConnectFailed":
    case "TlsFailed":
    case "RedirectRefused":
      return "Is the server running, and is --base-url or PARADIGM_BASE_URL its address?"
    case "Unauthorized":
      return "Check PARADIGM_API_KEY."
    case "Forbidden":
      return "Ask the administrator of the endpoint what this key may do."
    case "ModelNotFound":
      return "Choose another with --model, and check --base-url."
    case "RateLimited":
    case "Maintenance":
      return "Try again later."
    case "UnexpectedResponse":
      return "Is --base-url or PARADIGM_BASE_URL a Paradigm endpoint?"
    case "ConnectionLost":
    case "ServerFault":
    case "StreamFault":
    case "StreamTruncated":
    case "Timeout":
      return "What is above is all that arrived. Try again."
    default:
      return undefined
  }
}

/** The lines for a failure of any kind. One that nobody foresaw shows no inside. */
export const errorLine = (error: unknown): string => {
  if (!isParadigmError(error)) {
    const known = typeof error === "object" && error !== null && "_tag" in error && error instanceof Error
    return known ? error.message : "Something failed that should not. Set PARADIGM_DEBUG=true to see what."
  }
  const hint = hintFor(error)
  const id = error.requestId === undefined ? "" : ` (request ${error.requestId})`
  return `${error.reason.message}${id}${hint === undefined ? "" : `\n${hint}`}`
}
