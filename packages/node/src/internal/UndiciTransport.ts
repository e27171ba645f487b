// The transport of Node: undici's dispatcher, without the layers of its request API.
import type { Transport, TransportError, TransportRequest, TransportResponse } from "@paradigm-effect/core/Transport"
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Pull from "effect/Pull"
import * as Stream from "effect/Stream"
import type { Dispatcher } from "undici"
import { type Decompressor, decompressor } from "./decompression.ts"

type Reads = Pull.Pull<Arr.NonEmptyReadonlyArray<Uint8Array>, TransportError>
type Headers = Readonly<Record<string, string | ReadonlyArray<string> | undefined>>

// Maximum number of buffered bytes before the socket is paused.
const highWaterMark = 64 * 1024

// undici has no code for the refusal of a proxy.
const refusedByProxy = /^Proxy .*\((\d{3})\)/

/** What errors name as the other end of a connection. */
export interface Peers {
  /** Replaces the origin of the URL. */
  readonly origin?: string | undefined
  /** The proxy of requests to URLs of a protocol, if they are not excluded from it. */
  readonly proxyFor?: ((protocol: string) => URL | null) | undefined
}

const portOf = ({ port, protocol }: URL) => Number(port || (protocol === "https:" ? 443 : 80))

// Whether an exception of Node's sockets names the proxy. It also may be of a host that is excluded from the proxy.
const isOfProxy = (cause: unknown, proxy: URL, url: URL): boolean => {
  const { errors, hostname, port } = cause as {
    readonly errors?: ReadonlyArray<unknown>
    readonly hostname?: unknown
    readonly port?: unknown
  }
  if (errors?.[0] !== undefined) return isOfProxy(errors[0], proxy, url)
  if (hostname !== undefined) return hostname === proxy.hostname && hostname !== url.hostname
  return port === portOf(proxy) && port !== portOf(url)
}

const failureOf = (cause: unknown, url: URL, { origin, proxyFor }: Peers): TransportError => {
  const status = cause instanceof Error ? refusedByProxy.exec(cause.message)?.[1] : undefined
  const proxy = cause instanceof Error ? proxyFor?.(url.protocol) : undefined
  const isProxy = proxy && (status !== undefined || isOfProxy(cause, proxy, url))
  const code = status === undefined ? cause : { code: `PROXY_${status}` }
  return { reason: { _tag: "TransportError", cause: code, origin: isProxy ? `proxy ${proxy.origin}` : origin } }
}

/** One request: it receives undici's events, and the body is pulled from it. */
class ResponseHandler implements Dispatcher.DispatchHandler {
  #onHead: ((head: Effect.Effect<TransportResponse, TransportError>) => void) | undefined
  #controller: Dispatcher.DispatchController | undefined
  #decompressor: Decompressor | undefined
  #queue: Array<Uint8Array> = []
  #queued = 0
  #end: Effect.Effect<never, TransportError | Cause.Done> | undefined
  #wake: (() => void) | undefined
  #isAborted = false
  readonly #request: TransportRequest
  readonly #peers: Peers

  constructor(request: TransportRequest, peers: Peers) {
    this.#request = request
    this.#peers = peers
  }

  /** Dispatches the request and waits for the head of its response. */
  dispatch(dispatcher: Dispatcher): Effect.Effect<TransportResponse, TransportError> {
    const { body, headers, url } = this.#request
    return Effect.callback((resume) => {
      this.#onHead = resume
      const path = url.pathname + url.search
      try {
        const sent = body === undefined ? { method: "GET" as const } : { method: "POST" as const, body }
        dispatcher.dispatch({ origin: url.origin, path, headers, ...sent, headersTimeout: 0, bodyTimeout: 0 }, this)
      } catch (error) {
        resume(Effect.fail(this.#failure(error)))
      }
      return Effect.sync(() => this.abort())
    })
  }

  /** Closes the connection unless the response was received to its end. */
  abort(): void {
    if (this.#end !== undefined || this.#isAborted) return
    this.#isAborted = true
    this.#decompressor?.destroy()
    this.#controller?.abort(new Error("The request was aborted"))
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    if (this.#isAborted) controller.abort(new Error("The request was aborted"))
  }

  onResponseStart(_: Dispatcher.DispatchController, status: number, headers: Headers): void {
    // 1xx precede the response.
    if (status < 200) return
    const joined = Object.fromEntries(
      Object.entries(headers).map(([name, value]) => [name, typeof value === "string" ? value : value?.join(", ")])
    )
    this.#decompressor = decompressor(joined["content-encoding"], {
      onData: (bytes) => this.#push(bytes),
      onEnd: () => this.#finish(Cause.done()),
      onError: (error) => this.#finish(Effect.fail(this.#failure(error)))
    })
    this.#onHead?.(Effect.succeed({ status, headers: joined, stream: Stream.fromPull(Effect.succeed(this.#reads)) }))
  }

  onResponseData(_: Dispatcher.DispatchController, bytes: Uint8Array): void {
    if (this.#decompressor === undefined) this.#push(bytes)
    else this.#decompressor.write(bytes)
  }

  onResponseEnd(): void {
    if (this.#decompressor === undefined) this.#finish(Cause.done())
    else this.#decompressor.end()
  }

  onResponseError(_: Dispatcher.DispatchController | undefined, error: Error): void {
    this.#onHead?.(Effect.fail(this.#failure(error)))
    if (this.#decompressor === undefined) this.#finish(Effect.fail(this.#failure(error)))
    else this.#decompressor.fail(error)
  }

  #failure(cause: unknown): TransportError {
    return failureOf(cause, this.#request.url, this.#peers)
  }

  #push(bytes: Uint8Array) {
    this.#queue.push(bytes)
    this.#queued += bytes.length
    if (this.#queued > highWaterMark) this.#controller?.pause()
    this.#wake?.()
  }

  #finish(end: Effect.Effect<never, TransportError | Cause.Done>) {
    this.#end ??= end
    this.#wake?.()
  }

  #take(): Reads | undefined {
    const reads = this.#queue
    if (!Arr.isArrayNonEmpty(reads)) return this.#end
    const isPaused = this.#queued > highWaterMark
    this.#queue = []
    this.#queued = 0
    // May deliver further bytes synchronously.
    if (isPaused) this.#controller?.resume()
    return Effect.succeed(reads)
  }

  readonly #reads: Reads = Effect.suspend(
    () =>
      this.#take() ??
      Effect.callback<Arr.NonEmptyReadonlyArray<Uint8Array>, TransportError | Cause.Done>((resume) => {
        this.#wake = () => {
          const taken = this.#take()
          if (taken === undefined) return
          this.#wake = undefined
          resume(taken)
        }
        return Effect.sync(() => (this.#wake = undefined))
      })
  )
}

/** The transport on a dispatcher. */
export const make =
  (dispatcher: Dispatcher, peers: Peers = {}): Transport =>
  (request) =>
    Effect.acquireRelease(
      Effect.sync(() => new ResponseHandler(request, peers)),
      (handler) => Effect.sync(() => handler.abort())
    ).pipe(Effect.flatMap((handler) => handler.dispatch(dispatcher)))
