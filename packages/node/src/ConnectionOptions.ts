/**
 * Options of the connections that the client opens in Node.
 *
 * @since 0.1.0
 */

/**
 * Certificates or keys: PEM text or its bytes, one or several.
 *
 * @category options
 * @since 0.1.0
 */
export type Pem = string | Uint8Array | Array<string | Uint8Array>

/**
 * A dispatcher of undici, for example an `Agent`. Not undici's own type, because that needs the types of Node.
 *
 * @category options
 * @since 0.1.0
 */
export interface UndiciDispatcher {
  dispatch(options: object, handler: object): boolean
}

/**
 * Options of the connections.
 *
 * @category options
 * @since 0.1.0
 */
export interface ConnectionOptions {
  /** Sends the requests. The client does not close it. The other connection options cannot be combined with it. */
  readonly dispatcher?: UndiciDispatcher | undefined
  /**
   * The proxy for all requests, for example `http://user:password@proxy.example.com:8080`. `false` uses no proxy. Defaults to the environment
   * variables `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`, in upper or lower case.
   */
  readonly proxy?: string | URL | false | undefined
  /** Certificate authorities to trust instead of Node's own. */
  readonly ca?: Pem | undefined
  /** The certificate of the client. */
  readonly cert?: Pem | undefined
  /** The private key of the client's certificate. */
  readonly key?: Pem | undefined
  /** Whether to offer HTTP/2 to the server. Defaults to `false`. */
  readonly http2?: boolean | undefined
}
