/**
 * A proxy in front of a real server that writes down what it answers, and when.
 *
 * @since 0.1.0
 */
import { createServer, type IncomingMessage, request as httpRequest, type Server, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { bodyOf, send } from "./NodeExchange.ts"
import { type Piece, type RecordedExchange, requestOf } from "./RecordedExchange.ts"

/**
 * Options of a recorder.
 *
 * @category options
 * @since 0.1.0
 */
export interface RecorderOptions {
  /** The server behind it, as `http://127.0.0.1:8000`. A path in front of those of the requests may follow. */
  readonly upstream: URL
  /** Takes each exchange that is complete, and may throw. */
  readonly write: (exchange: RecordedExchange) => void
  /** Why an exchange was not recorded. */
  readonly onFailure?: ((message: string) => void) | undefined
  /** Address to listen on. Defaults to `127.0.0.1`. */
  readonly host?: string | undefined
  /** Port to listen on. Defaults to 0, any free one. */
  readonly port?: number | undefined
}

// Headers of a response that a client may act on, and that tell nothing of who asked.
const kept = new Set([
  "content-type",
  "content-length",
  "cache-control",
  "vary",
  "allow",
  "retry-after",
  "retry-after-ms",
  "x-should-retry",
  "x-accel-buffering",
  "endpoint-load-metrics"
])

// Of one connection, not of the message.
const hopByHop = new Set([
  "host",
  "connection",
  "keep-alive",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "proxy-connection",
  "expect"
])

const credentialHeaders = /^(authorization|proxy-authorization|cookie|.*(api-?key|token|secret).*)$/

const hidden = "REDACTED"
// Shorter ones would be found in every text.
const shortest = 6
const schemes = /^(bearer|basic|digest|negotiate)$/i

/** What a client sent as a credential, the longest first. */
const credentialsOf = ({ headers, url = "" }: IncomingMessage): ReadonlyArray<string> => {
  const named = Object.entries(headers).filter(([name]) => credentialHeaders.test(name))
  const query = Array.from(new URLSearchParams(url.split("?").slice(1).join("?")).values())
  const values = named.flatMap(([, value]) => (Array.isArray(value) ? value : [value ?? ""])).concat(query)
  const parts = values.flatMap((value) => [value, ...value.split(/[\s;=,]+/)])
  return [...new Set(parts)]
    .filter((part) => part.length >= shortest && !schemes.test(part))
    .sort((one, other) => other.length - one.length)
}

/** Takes the credentials out; where they are in several pieces, the whole body is one. */
const redact = (pieces: ReadonlyArray<readonly [at: number, bytes: Buffer]>, credentials: ReadonlyArray<string>): ReadonlyArray<Piece> => {
  const whole = Buffer.concat(pieces.map(([, bytes]) => bytes))
  const clean = (text: string) => credentials.reduce((text, credential) => text.replaceAll(credential, hidden), text)
  if (!credentials.some((credential) => whole.includes(credential))) return pieces.map(pieceOf)
  return [[pieces.at(-1)?.[0] ?? 0, clean(whole.toString())]]
}

const pieceOf = ([at, bytes]: readonly [at: number, bytes: Buffer]): Piece => {
  const text = bytes.toString()
  return Buffer.from(text).equals(bytes) ? [at, text] : [at, { base64: bytes.toString("base64") }]
}

const rounded = (time: number) => Math.round(time * 10) / 10

/** One request on its way to the server and back. */
class Passage {
  readonly #options: RecorderOptions
  readonly #ask: typeof httpRequest
  readonly #request: IncomingMessage
  readonly #response: ServerResponse
  readonly #body: Buffer
  readonly #begunAt = performance.now()
  readonly #pieces: Array<readonly [at: number, bytes: Buffer]> = []

  constructor(options: RecorderOptions, ask: typeof httpRequest, request: IncomingMessage, response: ServerResponse, body: Buffer) {
    this.#options = options
    this.#ask = ask
    this.#request = request
    this.#response = response
    this.#body = body
  }

  begin(): void {
    const { upstream } = this.#options
    const { headers, method, url = "/" } = this.#request
    const passed = Object.fromEntries(Object.entries(headers).filter(([name]) => !hopByHop.has(name)))
    const asked = this.#ask({
      // The path of a request must not choose the host.
      hostname: upstream.hostname.replaceAll(/[[\]]/g, ""),
      port: upstream.port,
      path: upstream.pathname.replace(/\/$/, "") + url,
      method,
      // A recording is to be read by people.
      headers: { ...passed, "accept-encoding": "identity", "content-length": this.#body.length }
    })
    asked.on("response", (answer) => this.#receive(answer))
    asked.on("error", (error: NodeJS.ErrnoException) => this.#failed(error))
    this.#response.on("close", () => {
      if (!this.#response.writableFinished) asked.destroy()
    })
    asked.end(this.#body)
  }

  #now(): number {
    return rounded(performance.now() - this.#begunAt)
  }

  #receive(answer: IncomingMessage): void {
    const headersAt = this.#now()
    const passed = Object.fromEntries(Object.entries(answer.headers).filter(([name]) => !hopByHop.has(name)))
    this.#response.writeHead(answer.statusCode ?? 502, passed)
    this.#response.flushHeaders()
    answer.on("data", (bytes: Buffer) => {
      this.#pieces.push([this.#now(), bytes])
      if (this.#response.write(bytes)) return
      answer.pause()
      this.#response.once("drain", () => answer.resume())
    })
    answer.on("end", () => {
      this.#record(answer, headersAt, false)
      this.#response.end()
    })
    answer.on("error", () => {
      if (this.#response.destroyed) return this.#options.onFailure?.("A client left before the end of its answer.")
      this.#record(answer, headersAt, true)
      this.#response.destroy()
    })
  }

  #record({ headers, statusCode = 0 }: IncomingMessage, headersAt: number, isCut: boolean): void {
    const credentials = credentialsOf(this.#request)
    const clean = (value: unknown): unknown => {
      const text = credentials.reduce(
        (text, credential) => text.replaceAll(JSON.stringify(credential).slice(1, -1), hidden),
        JSON.stringify(value)
      )
      return JSON.parse(text)
    }
    const exchange: RecordedExchange = {
      method: this.#request.method ?? "GET",
      path: (this.#request.url ?? "/").split("?", 1)[0] ?? "/",
      request: clean(requestOf(this.#body)),
      status: statusCode,
      headers: Object.fromEntries(
        Object.entries(headers).flatMap(([name, value]) => (kept.has(name) && typeof value === "string" ? [[name, value]] : []))
      ),
      headersAt,
      pieces: redact(this.#pieces, credentials),
      endsAt: this.#now(),
      isCut
    }
    try {
      this.#options.write(exchange)
    } catch (error) {
      this.#options.onFailure?.(`Cannot write the exchange: ${error instanceof Error ? error.message : String(error)}`)
    }
  }

  #failed({ code, message }: NodeJS.ErrnoException): void {
    if (this.#response.destroyed) return this.#options.onFailure?.("A client left before its answer.")
    const { origin } = this.#options.upstream
    const said = `No answer from ${origin} (${code ?? message}): is the server behind --upstream running? Nothing was recorded.`
    this.#options.onFailure?.(said)
    if (this.#response.headersSent) return void this.#response.destroy()
    const type = "BadGateway"
    send(
      this.#response,
      502,
      { "content-type": "application/json" },
      JSON.stringify({ error: { message: said, type, param: null, code: 502 } })
    )
  }
}

/**
 * A recorder that listens.
 *
 * @category models
 * @since 0.1.0
 */
export interface Recorder extends AsyncDisposable {
  /** Address without a path: what clients ask in place of the server. */
  readonly url: string
  /** Closes all connections. Settles when its port is free. */
  readonly close: () => Promise<void>
}

/**
 * Starts a recorder. Rejects with the error of `node:net` if it cannot listen.
 *
 * @example
 * ```ts
 * import * as Recorder from "@paradigm-effect/simulator/Recorder"
 * import { Simulator } from "@paradigm-effect/simulator"
 *
 * await using server = await Simulator.start()
 * const exchanges: Array<unknown> = []
 * await using recorder = await Recorder.start({ upstream: new URL(server.url), write: (exchange) => exchanges.push(exchange) })
 * await (await fetch(`${recorder.url}/v1/models`)).text()
 * console.log(exchanges.length) // => 1
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const start = async (options: RecorderOptions): Promise<Recorder> => {
  const { host = "127.0.0.1", port = 0, upstream } = options
  const ask = upstream.protocol === "https:" ? (await import("node:https")).request : httpRequest
  const server: Server = createServer({ keepAliveTimeout: 0, noDelay: true }, (request, response) => {
    response.on("error", () => undefined)
    void bodyOf(request).then((body) => {
      if (body !== undefined) return new Passage(options, ask, request, response, body).begin()
      send(response, 413, { "content-type": "text/plain" }, "The body has more than 64 MiB.")
    })
  })
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject)
    server.listen(port, host, () => {
      server.removeListener("error", reject)
      resolve()
    })
  })
  const close = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve())
      server.closeAllConnections()
    })
  const address = server.address() as AddressInfo
  return { url: `http://${host.includes(":") ? `[${host}]` : host}:${address.port}`, close, [Symbol.asyncDispose]: close }
}
