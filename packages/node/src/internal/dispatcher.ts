// Which dispatcher sends the requests: the caller's, one through a proxy, or a pool of connections.
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Dispatcher } from "undici"

/**
 * Certificates or keys: PEM text or its bytes, one or several.
 *
 * @category options
 * @since 0.1.0
 */
export type Pem = string | Buffer | Array<string | Buffer>

/**
 * Options of the connections.
 *
 * @category options
 * @since 0.1.0
 */
export interface ConnectionOptions {
  /** Sends the requests. The client does not close it. The other connection options cannot be given beside it. */
  readonly dispatcher?: Dispatcher | undefined
  /**
   * The proxy for all requests, for example `http://user:password@proxy.example.com:8080`. `false` uses none. Defaults to the environment
   * variables `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`, in upper or lower case.
   */
  readonly proxy?: string | URL | false | undefined
  /** Certificate authorities to trust instead of Node's own. */
  readonly ca?: Pem | undefined
  /** The certificate of the client. */
  readonly cert?: Pem | undefined
  /** The private key of the client's certificate. */
  readonly key?: Pem | undefined
  /** Whether HTTP/2 is offered. Defaults to `false`. */
  readonly http2?: boolean | undefined
}

/** The names of the options. */
export const optionNames: ReadonlyArray<keyof ConnectionOptions> = ["dispatcher", "proxy", "ca", "cert", "key", "http2"]

const hasProxy = () =>
  ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"].some((name) => process.env[name] !== undefined && process.env[name] !== "")

/** The dispatcher of a client. Closing the scope closes its connections. */
export const make = (options: ConnectionOptions, connectTimeout: number): Effect.Effect<Dispatcher, never, Scope.Scope> => {
  const { ca, cert, dispatcher, http2, key, proxy } = options
  if (dispatcher !== undefined) return Effect.succeed(dispatcher)
  const tls = Object.fromEntries(Object.entries({ ca, cert, key }).filter(([, value]) => value !== undefined))
  return Effect.acquireRelease(
    // Loaded with the first client: undici costs more to load than the rest of this package.
    Effect.promise(async () => {
      const { Agent, EnvHttpProxyAgent, ProxyAgent } = await import("undici")
      const timeout = Number.isFinite(connectTimeout) ? connectTimeout : 0
      const pool = { connect: { ...tls, timeout }, allowH2: http2 === true }
      const proxied = { ...pool, requestTls: { ...tls, timeout }, connectTimeout: timeout }
      if (typeof proxy === "string" || proxy instanceof URL) return new ProxyAgent({ ...proxied, uri: String(proxy) })
      return proxy === undefined && hasProxy() ? new EnvHttpProxyAgent(proxied) : new Agent(pool)
    }),
    (dispatcher) => Effect.promise(() => dispatcher.destroy())
  )
}
