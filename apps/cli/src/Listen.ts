/**
 * How a server of this command line gets its HTTP server: `main.ts` gives Node's.
 */
import type { Address } from "@paradigm-effect/gateway/GatewayConfig"
import type { ListenError } from "@paradigm-effect/gateway/ListenError"
import type * as HttpServer from "effect/http/HttpServer"
import type * as Layer from "effect/Layer"

/** The HTTP server of an address. */
export type Listen<R> = (at: Address) => Layer.Layer<HttpServer.HttpServer, ListenError, R>
