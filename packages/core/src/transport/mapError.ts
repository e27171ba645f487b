// Maps the exceptions of the runtimes' transports to reasons. Node has a code in the chain of causes, Bun and Deno have a message, browsers have
// a short message. Messages are matched but not quoted, because some quote the header with the key.
import * as Duration from "effect/Duration"
import * as Predicate from "effect/Predicate"
import type { Secrets } from "../errors/redaction.ts"
import {
  ConnectFailed,
  ConnectionLost,
  InvalidConfiguration,
  type ParadigmErrorReason,
  Timeout,
  TlsFailed,
  TransportFailed
} from "../ParadigmError.ts"
import type { Limits } from "../client/options.ts"

const causes = (error: unknown): ReadonlyArray<object> => {
  const chain: Array<object> = []
  let current = error
  while (Predicate.isObject(current) && chain.length < 8) {
    chain.push(current)
    current =
      "cause" in current && current.cause !== undefined
        ? current.cause
        : "errors" in current && Array.isArray(current.errors)
          ? current.errors[0]
          : undefined
  }
  return chain
}

const member = (link: object, name: string): string => {
  const value: unknown = Reflect.get(link, name)
  return typeof value === "string" ? value : ""
}

// Parts of the codes of Node, undici, the HTTP parser and zlib, and of the messages of undici, Deno, Bun, Chromium, Firefox and Safari.
const tls = /CERT|TLS|SSL|UNABLE_TO_|certificate/
const connect =
  /REFUSED|NOTFOUND|EAI_AGAIN|UNREACH|NOTAVAIL|ENOENT|PROXY_|Refused|OpenSocket|\(Connect\)|to connect|to fetch|NetworkE|Load failed/
const lost =
  /conn|pipe|TIMEDOUT|UND_ERR|HPE_|Z_\w+_ERROR|premature|HTTP2|HTTP_?(Parser|Response)|terminated|hang up|SendRequest|UnexpectedEof|network error|t stream/i

/** The members of an `HttpClientError` that are read. */
export interface TransportFailure {
  readonly reason: { readonly _tag: string; readonly cause?: unknown; readonly origin?: string | undefined }
}

/** Context of a failure. */
export interface Failing {
  /** The origin of the endpoint. */
  readonly origin: string
  readonly limits: Limits
  readonly secrets: Secrets
}

export const fromTransport = (
  { reason }: TransportFailure,
  phase: "headers" | "body",
  { limits, origin: requested, secrets }: Failing
): ParadigmErrorReason => {
  const { origin = requested } = reason
  const chain = causes(reason.cause)
  const code = chain.map((link) => member(link, "code")).find((code) => /^\w+$/.test(code))
  const words = [code ?? "", ...chain.flatMap((link) => [member(link, "name"), member(link, "message")])].join("\n")
  if (/^(NotCapable|PermissionDenied)$/m.test(words)) {
    return new InvalidConfiguration({ option: "baseUrl", detail: "needs --allow-net" })
  }
  if (phase === "headers") {
    if (code === "UND_ERR_CONNECT_TIMEOUT" || code === "ETIMEDOUT") {
      return new Timeout({ stage: "connect", limit: Duration.millis(limits.connect) })
    }
    if (tls.test(words)) return new TlsFailed({ origin, code })
    if (connect.test(words)) return new ConnectFailed({ origin, code })
  }
  if (lost.test(words) || connect.test(words)) return new ConnectionLost({ phase, code })
  const cause = secrets.cause(reason.cause)
  return new TransportFailed({ phase, exception: cause.name, cause })
}
