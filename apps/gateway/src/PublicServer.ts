/**
 * The public listener: strict paths, CORS, bodies within bounds, and one record for every request, those that are not HTTP too.
 */
import type { Tracer } from "effect/Tracer"
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse
} from "node:http"
import { createServer as createTlsServer } from "node:https"
import type { Socket } from "node:net"
import { Exchange } from "./Exchange.ts"
import { GatewayFailure, toBody } from "./GatewayFailure.ts"
import type { GatewayMetrics } from "./GatewayMetrics.ts"
import type { Limiter } from "./limits/Limiter.ts"
import type { LineWriter } from "./LineWriter.ts"
import type { Registry, Snapshot } from "./Registry.ts"
import { RequestRecord } from "./RequestRecord.ts"
import type { UsageRecorder } from "./usage/UsageRecorder.ts"
import { RequestTrace } from "./RequestTrace.ts"

/** What a server needs. */
export interface PublicServerOptions {
  readonly registry: Registry
  readonly writer: LineWriter
  readonly metrics: GatewayMetrics
  readonly limiter: Limiter
  readonly usage: UsageRecorder | undefined
  /** Makes the spans of requests; `undefined` for none. */
  readonly tracer?: Tracer | undefined
}

// Requests that a client may send on a connection before it has the response of the first.
const maxPipelined = 16

/** Serves the endpoint. */
export class PublicServer {
  readonly #registry: Registry
  readonly #writer: LineWriter
  readonly #metrics: GatewayMetrics
  readonly limiter: Limiter
  readonly usage: UsageRecorder | undefined
  readonly #tracer: Tracer | undefined
  readonly #exchanges = new Set<Exchange>()
  readonly #pipelined = new WeakMap<Socket, number>()
  #bytesInFlight = 0

  constructor({ limiter, metrics, registry, tracer, usage, writer }: PublicServerOptions) {
    this.#registry = registry
    this.#writer = writer
    this.#metrics = metrics
    this.#tracer = tracer
    this.limiter = limiter
    this.usage = usage
  }

  /** Number of requests in flight. */
  get active(): number {
    return this.#exchanges.size
  }

  get snapshot(): Snapshot {
    return this.#registry.snapshot
  }

  /** Makes the Node server. */
  nodeServer(keepAlive: number, certificate?: Certificate): Server {
    const server = nodeServer(
      (request, response) => {
        // A gateway that stops would never be idle: `close` keeps connections that are in use.
        if (!server.listening) response.shouldKeepAlive = false
        this.#serve(request, response)
      },
      keepAlive,
      certificate
    )
    server.on("checkContinue", (request: IncomingMessage, response: ServerResponse) => this.#serve(request, response, true))
    server.on("checkExpectation", (request: IncomingMessage, response: ServerResponse) => this.#serve(request, response))
    // A client that sends nothing more may still read, for example `nc -N`.
    Object.assign(server, { httpAllowHalfOpen: true })
    server.on("clientError", (error: NodeJS.ErrnoException, socket: Socket) => this.#refuseBytes(error, socket))
    return server
  }

  /** Ends the requests whose keys are not valid any more: streams with an error event. */
  endRevoked(): void {
    const now = Date.now()
    for (const exchange of this.#exchanges) exchange.endIfRevoked(now)
  }

  /** Ends what is in flight: streams with an error event. */
  drain(): void {
    for (const exchange of this.#exchanges) exchange.stop()
  }

  /** Takes memory for a body. Fails when the process has too many bodies. */
  take(bytes: number): boolean {
    if (this.#bytesInFlight + bytes > this.snapshot.config.maxBytesInFlight && this.#bytesInFlight > 0) return false
    this.#bytesInFlight += bytes
    return true
  }

  give(bytes: number): void {
    this.#bytesInFlight -= bytes
  }

  record(id: string, method: string, path: string, headers: IncomingHttpHeaders = {}): RequestRecord {
    const trace = this.#tracer === undefined ? undefined : new RequestTrace(this.#tracer, method, headers)
    return new RequestRecord(id, method, path, { writer: this.#writer, metrics: this.#metrics, recorder: this.usage, trace })
  }

  #serve(request: IncomingMessage, response: ServerResponse, isExpecting = false): void {
    const { socket } = request
    const pipelined = (this.#pipelined.get(socket) ?? 0) + 1
    this.#pipelined.set(socket, pipelined)
    const exchange = new Exchange(this, request, response, isExpecting)
    this.#exchanges.add(exchange)
    const halfClosed = () => exchange.halfClosed()
    socket.once("end", halfClosed)
    response.once("close", () => {
      socket.off("end", halfClosed)
      this.#pipelined.set(socket, (this.#pipelined.get(socket) ?? 1) - 1)
      this.#exchanges.delete(exchange)
    })
    if (pipelined <= maxPipelined) return exchange.start()
    exchange.refuse(
      new GatewayFailure({
        status: 503,
        detail: "Too many requests on one connection.",
        headers: { connection: "close", "retry-after": "1" }
      })
    )
  }

  // Bytes that are not a request: no exchange begins for them.
  #refuseBytes(error: NodeJS.ErrnoException, socket: Socket): void {
    if (error.code === "ECONNRESET" || !socket.writable) return void socket.destroy()
    const [status, line, detail] =
      error.code === "HPE_HEADER_OVERFLOW"
        ? ([431, "Request Header Fields Too Large", "The headers are too large."] as const)
        : error.code === "ERR_HTTP_REQUEST_TIMEOUT"
          ? ([408, "Request Timeout", "The request did not arrive in time."] as const)
          : ([400, "Bad Request", "The request is not HTTP/1.1."] as const)
    const id = crypto.randomUUID()
    const failure = new GatewayFailure({ status, detail })
    const body = toBody(failure, "paradigm", id)
    const record = this.record(id, "", "")
    record.status = status
    record.cause = error.code
    record.detail = detail
    socket.end(
      `HTTP/1.1 ${status} ${line}\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\nx-request-id: ${id}\r\nconnection: close\r\n\r\n${body}`
    )
    record.bytesOut = body.length
    record.close("refused")
  }
}

const limits = (keepAlive: number) => ({
  keepAliveTimeout: keepAlive,
  headersTimeout: 30_000,
  requestTimeout: 120_000,
  connectionsCheckingInterval: 2000,
  maxHeaderSize: 32_768
})

/** Certificate chain and private key, as PEM. */
export interface Certificate {
  readonly cert: string
  readonly key: string
}

const nodeServer = (listener: RequestListener, keepAlive: number, certificate?: Certificate): Server =>
  certificate === undefined
    ? createServer(limits(keepAlive), listener)
    : createTlsServer({ ...limits(keepAlive), ...certificate }, listener)
