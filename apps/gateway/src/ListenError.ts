/**
 * The failure of a listener to start.
 */
import * as Data from "effect/Data"
import type { ServeError } from "effect/http/HttpServerError"
import type { Address } from "./GatewayConfig.ts"

/** A server does not listen on its address. The message says why, and what to do. */
export class ListenError extends Data.TaggedError("ListenError")<
  Address & {
    /** The system's code, as `EADDRINUSE`. */
    readonly code: string | undefined
  }
> {
  static of(at: Address, error: ServeError): ListenError {
    const code = typeof error.cause === "object" && error.cause !== null && "code" in error.cause ? error.cause.code : undefined
    return new ListenError({ ...at, code: typeof code === "string" ? code : undefined })
  }

  override get message(): string {
    switch (this.code) {
      case "EADDRINUSE":
        return `Port ${this.port} on ${this.host} is in use. Stop what listens there, or choose another with --port (0 takes any free one).`
      case "EACCES":
        return `No permission to listen on port ${this.port} of ${this.host}. Choose a port above 1023 with --port.`
      case "EADDRNOTAVAIL":
      case "ENOTFOUND":
        return `${this.host} is not an address of this machine. Choose one with --host, as 127.0.0.1.`
      default:
        return `Cannot listen on port ${this.port} of ${this.host}${this.code === undefined ? "" : ` (${this.code})`}. Check --host and --port.`
    }
  }
}
