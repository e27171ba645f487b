/**
 * What the fault server listens on: the ports, and two servers that stand before its origins.
 *
 * @since 0.1.0
 */
import { once } from "node:events"
import { createServer as createHttpServer, type IncomingMessage, request as httpRequest } from "node:http"
import { createSecureServer, type Http2SecureServer, type ServerHttp2Stream } from "node:http2"
import { type AddressInfo, connect, type Server, type Socket } from "node:net"
import type { Duplex } from "node:stream"
import type { Identity } from "./Certificate.ts"

/**
 * Servers on free loopback ports, and the connections to them.
 *
 * @category models
 * @since 0.1.0
 */
export class FaultListeners {
  readonly #servers: Array<Server> = []
  readonly #sockets = new Set<Socket>()

  /** Has a server listen, and gives its address as that of a server without TLS. Rejects when the port is taken, or the host is none of this machine. */
  async listen(server: Server, options: { readonly host?: string; readonly port?: number | undefined } = {}): Promise<string> {
    const { host = "127.0.0.1", port = 0 } = options
    server.listen(port, host)
    await once(server, "listening")
    server.on("connection", (socket) => {
      this.#sockets.add(socket)
      socket.on("error", () => undefined)
      socket.on("close", () => this.#sockets.delete(socket))
    })
    this.#servers.push(server)
    return `http://${host.includes(":") ? `[${host}]` : host}:${(server.address() as AddressInfo).port}`
  }

  /** An address where nobody listens, and that nobody else can be given: the near end of an open connection to `origin`. */
  async closed(origin: string): Promise<string> {
    const socket = connect(Number(new URL(origin).port), "127.0.0.1")
    await once(socket, "connect")
    socket.on("error", () => undefined)
    this.#sockets.add(socket)
    return `http://127.0.0.1:${socket.localPort}`
  }

  /** Ends all connections and servers. */
  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await Promise.all(this.#servers.map((server) => new Promise((resolve) => server.close(resolve))))
  }
}

// What concerns one connection is not passed on.
const ofConnection = new Set(["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "host"])

const passedOn = (headers: IncomingMessage["headers"]) =>
  Object.fromEntries(Object.entries(headers).filter(([name]) => !name.startsWith(":") && !ofConnection.has(name)))

/** Passes a request on to an origin, over a connection of its own. */
const forward = (origin: string, method: string, path: string, headers: IncomingMessage["headers"], via: string) => {
  const { hostname, port } = new URL(origin)
  return httpRequest({ hostname, port, method, path, headers: { ...passedOn(headers), host: `${hostname}:${port}`, via }, agent: false })
}

/**
 * A server that speaks HTTP/2 alone, and passes what it is asked on to an origin, with the header `via: 2 fault`. A response that is cut there is
 * reset here.
 *
 * @category constructors
 * @since 0.1.0
 */
export const http2Before = (origin: string, identity: Identity): Http2SecureServer => {
  const server = createSecureServer(identity)
  server.on("stream", (stream: ServerHttp2Stream, headers) => {
    const request = forward(origin, headers[":method"] ?? "GET", headers[":path"] ?? "/", headers, "2 fault")
    // With an error, or its end would be told first.
    const reset = (error: Error) => void stream.destroy(error)
    request.on("error", reset)
    stream.on("error", () => undefined)
    stream.on("close", () => request.destroy())
    request.on("response", (response) => {
      response.on("error", reset)
      stream.respond({ ":status": response.statusCode ?? 502, ...passedOn(response.headers) })
      response.pipe(stream)
    })
    stream.pipe(request)
  })
  return server
}

const refuse = (socket: Duplex, status: number) => socket.end(`HTTP/1.1 ${status} \r\ncontent-length: 0\r\nconnection: close\r\n\r\n`)

/**
 * A proxy to a few origins, by the host and port that they are asked for. It is none of the servers that the key is for: a CONNECT that has an
 * `authorization` is refused with 400, and an unknown host with 403.
 *
 * @category constructors
 * @since 0.1.0
 */
export const proxyTo = (origins: Readonly<Record<string, string>>): Server => {
  const server = createHttpServer((request, response) => {
    const url = URL.parse(request.url ?? "")
    const origin = url === null ? undefined : origins[`${url.hostname}:${url.port === "" ? "80" : url.port}`]
    if (url === null || origin === undefined) return void response.writeHead(403).end()
    const onward = forward(origin, request.method ?? "GET", url.pathname + url.search, request.headers, "1.1 fault")
    onward.on("error", () => response.destroy())
    onward.on("response", (answer) => {
      response.writeHead(answer.statusCode ?? 502, passedOn(answer.headers))
      answer.pipe(response)
    })
    request.pipe(onward)
  })
  server.on("connect", (request, socket) => {
    socket.on("error", () => undefined)
    const origin = origins[request.url ?? ""]
    if (request.headers.authorization !== undefined) return void refuse(socket, 400)
    if (origin === undefined) return void refuse(socket, 403)
    const onward = connect(Number(new URL(origin).port), "127.0.0.1", () => {
      socket.write("HTTP/1.1 200 \r\n\r\n")
      onward.pipe(socket).pipe(onward)
    })
    onward.on("error", () => socket.destroy())
    onward.on("close", () => socket.destroy())
    socket.on("close", () => onward.destroy())
  })
  return server
}
