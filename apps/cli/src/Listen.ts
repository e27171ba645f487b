/**
 * How a server of this command line gets its HTTP server: `main.ts` gives Node's.
 */
import * as Data from "effect/Data"
import type * as HttpServer from "effect/http/HttpServer"
import type { ServeError } from "effect/http/HttpServerError"
import type * as Layer from "effect/Layer"

/** Where to listen. Port 0 takes any free one. */
export interface Address {
  readonly host: string
  readonly port: number
}

/** The HTTP server of an address. */
export type Listen<E, R> = (at: Address) => Layer.Layer<HttpServer.HttpServer, E, R>

/** The address cannot be listened on. The message says where, why and what to do. */
export class CannotListen extends Data.TaggedError("CannotListen")<
  Address & {
    /** The system's code, as `EADDRINUSE`. */
    readonly code: string | undefined
  }
> {
  static of(at: Address, error: ServeError): CannotListen {
    const code = typeof error.cause === "object" && error.cause !== null && "code" in error.cause ? error.cause.code : undefined
    return new CannotListen({ ...at, code: typeof code === "string" ? code : undefined })
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
