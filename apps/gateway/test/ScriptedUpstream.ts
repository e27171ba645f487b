/**
 * A model server on a bare socket, that does to the bytes what a test tells it to.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { createServer, type Socket } from "node:net"

/** A request that arrived, and the socket to answer on. */
export class Exchange {
  readonly requestLine: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  /** Which of the upstream's connections it came on, from 0. */
  readonly connection: number
  readonly socket: Socket
  /** When the connection was closed, by `performance.now()`. */
  readonly closed: Promise<number>

  constructor(head: string, body: string, connection: number, socket: Socket, closed: Promise<number>) {
    const [requestLine = "", ...lines] = head.split("\r\n")
    this.requestLine = requestLine
    this.headers = Object.fromEntries(
      lines.map((line) => [line.slice(0, line.indexOf(":")).toLowerCase(), line.slice(line.indexOf(":") + 1).trim()])
    )
    this.body = body
    this.connection = connection
    this.socket = socket
    this.closed = closed
  }

  /** The field `user` of the request, with which a test tells requests apart. */
  get user(): string {
    const { user } = JSON.parse(this.body) as { readonly user?: string }
    return user ?? ""
  }

  /** A whole answer. */
  answer(status: number, body: string, headers: Readonly<Record<string, string>> = { "content-type": "application/json" }): void {
    const lines = Object.entries({ ...headers, "content-length": String(Buffer.byteLength(body)) })
    this.socket.write(`HTTP/1.1 ${status} Status\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n${body}`)
  }

  /** The head of a stream. */
  head(contentType = "text/event-stream; charset=utf-8"): void {
    this.socket.write(`HTTP/1.1 200 OK\r\ncontent-type: ${contentType}\r\ntransfer-encoding: chunked\r\n\r\n`)
  }

  /** One network chunk of a stream; tells whether the socket takes more at once. */
  chunk(bytes: string | Uint8Array): boolean {
    const body = typeof bytes === "string" ? new TextEncoder().encode(bytes) : bytes
    return this.socket.write(Buffer.concat([Buffer.from(`${body.length.toString(16)}\r\n`), body, Buffer.from("\r\n")]))
  }

  /** The regular end of a stream. */
  end(): void {
    this.socket.write("0\r\n\r\n")
  }
}

/** A running upstream. */
export interface ScriptedUpstream {
  readonly origin: string
  readonly exchanges: ReadonlyArray<Exchange>
  readonly connections: () => number
}

/** Starts an upstream that lives as long as the scope; `answer` is called for each request. */
export const start = (answer: (exchange: Exchange) => void): Effect.Effect<ScriptedUpstream, never, Scope.Scope> =>
  Effect.gen(function* () {
    const exchanges: Array<Exchange> = []
    const sockets = new Set<Socket>()
    let connections = 0
    const server = createServer({ noDelay: true }, (socket) => {
      const connection = connections++
      sockets.add(socket)
      const closed = new Promise<number>((resolve) =>
        socket.once("close", () => {
          sockets.delete(socket)
          resolve(performance.now())
        })
      )
      let received = Buffer.alloc(0)
      socket.on("error", () => undefined)
      socket.on("data", (bytes) => {
        received = Buffer.concat([received, typeof bytes === "string" ? Buffer.from(bytes) : bytes])
        for (let end = received.indexOf("\r\n\r\n"); end !== -1; end = received.indexOf("\r\n\r\n")) {
          const head = received.toString("latin1", 0, end)
          const length = Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? 0)
          if (received.length < end + 4 + length) return
          const exchange = new Exchange(head, received.toString("utf8", end + 4, end + 4 + length), connection, socket, closed)
          received = received.subarray(end + 4 + length)
          exchanges.push(exchange)
          answer(exchange)
        }
      })
    })
    yield* Effect.acquireRelease(
      Effect.callback<void>((resume) => void server.listen(0, "127.0.0.1", () => resume(Effect.void))),
      () =>
        Effect.callback<void>((resume) => {
          for (const socket of sockets) socket.destroy()
          server.close(() => resume(Effect.void))
        })
    )
    const address = server.address()
    return {
      origin: `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`,
      exchanges,
      connections: () => connections
    }
  })

/** An address on which nothing listens. */
export const refused: Effect.Effect<string> = Effect.scoped(
  Effect.map(
    start(() => undefined),
    (upstream) => upstream.origin
  )
)
