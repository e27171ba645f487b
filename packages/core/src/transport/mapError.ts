// Every failure of a runtime's transport as a reason. Runtimes differ in how they tell: Node by a code somewhere along the chain of causes,
// Deno by words in the message, browsers not at all. Messages are matched, never passed on: some quote the header that carries the key.
import * as Duration from "effect/Duration"
import * as Predicate from "effect/Predicate"
import {
  ConnectFailed,
  ConnectionLost,
  InvalidConfiguration,
  InvalidRequest,
  type ParadigmErrorReason,
  Timeout,
  TlsFailed
} from "../ParadigmError.ts"
import type { Limits } from "../Timeouts.ts"

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

const codeOf = (chain: ReadonlyArray<object>): string | undefined => {
  for (const link of chain) if ("code" in link && typeof link.code === "string" && /^[A-Z0-9_]+$/.test(link.code)) return link.code
  return undefined
}

const connectCodes = new Set(["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "EHOSTUNREACH", "ENETUNREACH", "EADDRNOTAVAIL"])

const isTls = (code: string | undefined, message: string) =>
  (code !== undefined && /CERT|TLS|SSL|UNABLE_TO_|SELF_SIGNED/.test(code)) || /peer certificate|UnknownIssuer|certificate/i.test(message)

const isConnect = (code: string | undefined, message: string) =>
  code === undefined ? /\(Connect\)|tcp connect|dns error|Failed to fetch|NetworkError|Load failed/i.test(message) : connectCodes.has(code)

/** What is read of an `HttpClientError`. */
export interface TransportFailure {
  readonly reason: { readonly _tag: string; readonly cause?: unknown }
}

export const fromTransport = (error: TransportFailure, phase: "headers" | "body", origin: string, limits: Limits): ParadigmErrorReason => {
  const { reason } = error
  if (reason._tag === "InvalidUrlError")
    return new InvalidConfiguration({ option: "baseUrl", detail: "is not a URL that can be requested" })
  if (reason._tag === "EncodeError") return new InvalidRequest({ detail: "its body could not be written", fields: {} })
  const chain = causes(reason.cause)
  if (chain.some((link) => "name" in link && (link.name === "NotCapable" || link.name === "PermissionDenied"))) {
    return new InvalidConfiguration({ option: "baseUrl", detail: "is not a host that this program may reach; Deno asks for --allow-net" })
  }
  const code = codeOf(chain)
  const message = chain.map((link) => ("message" in link ? String(link.message) : "")).join("\n")
  if (phase === "body") return new ConnectionLost({ phase, code })
  if (code === "UND_ERR_CONNECT_TIMEOUT" || code === "ETIMEDOUT") {
    return new Timeout({ stage: "connect", limit: Duration.millis(limits.connect) })
  }
  if (isTls(code, message)) return new TlsFailed({ origin, code })
  return isConnect(code, message) ? new ConnectFailed({ origin, code }) : new ConnectionLost({ phase, code })
}
