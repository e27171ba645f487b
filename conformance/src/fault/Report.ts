/**
 * What the fault server saw of one case.
 *
 * @since 0.1.0
 */

/**
 * The name of an origin that sees requests.
 *
 * @category models
 * @since 0.1.0
 */
export type Origin = "a" | "b" | "expired" | "misnamed" | "tls" | "trusted" | "v6"

/**
 * One request. Times are milliseconds since the case was announced.
 *
 * @category models
 * @since 0.1.0
 */
export interface Attempt {
  readonly origin: Origin
  /** Counts the server's connections; two attempts with the same number came over the same one. */
  readonly connection: number
  /** Whether the connection had served a request before. */
  readonly reused: boolean
  readonly at: number
  readonly method: string
  /** Path and query as sent, without the case's own path. */
  readonly path: string
  readonly headers: ReadonlyArray<readonly [name: string, value: string]>
  /** The body, base64. */
  readonly body: string
  /** When how many bytes were handed to the network, head and framing included; the last 1000 of them. */
  readonly writes: ReadonlyArray<readonly [at: number, bytes: number]>
  readonly bytesWritten: number
  /** Who ended the connection first, and how; absent while it is open. */
  readonly closed?: { readonly by: "client" | "server"; readonly how: "fin" | "rst"; readonly at: number }
}

/**
 * A CORS preflight: what a browser asked leave for.
 *
 * @category models
 * @since 0.1.0
 */
export interface Preflight {
  readonly origin: Origin
  readonly method: string
  readonly headers: ReadonlyArray<string>
}

/**
 * The whole of it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Report {
  readonly attempts: ReadonlyArray<Attempt>
  readonly preflights: ReadonlyArray<Preflight>
}

/**
 * What a caller of the report can wait for: a request, the first byte of a response, the end of all connections.
 *
 * @category models
 * @since 0.1.0
 */
export type Until = "request" | "head" | "closed"

/**
 * Where the fault server listens, or does not, and `ca`: the certificate, as PEM, of the authority that it has made for itself.
 *
 * @category models
 * @since 0.1.0
 */
export interface Origins {
  readonly a: string
  readonly b: string
  /** On the IPv6 loopback address; absent on machines that have none. */
  readonly v6?: string
  /** `a` under a name that a confined program may not reach. */
  readonly denied: string
  /** Nobody listens. */
  readonly closed: string
  /** A certificate that signs itself. */
  readonly tls: string
  /** A certificate of `ca`. */
  readonly trusted: string
  /** A certificate of `ca` that is out of date. */
  readonly expired: string
  /** A certificate of `ca` for `upstream.invalid`. */
  readonly misnamed: string
  /** A certificate of `ca`, and HTTP/2 alone: what is asked is passed on to `a`, with the header `via: 2 fault`. */
  readonly h2: string
  /** A proxy, by which `a` is reached as `http://upstream.invalid`, and `misnamed` as `https://upstream.invalid`. */
  readonly proxy: string
  readonly ca: string
}
