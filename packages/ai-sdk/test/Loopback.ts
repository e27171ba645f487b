// A server on loopback that gives one reply after the other.
import { createServer, type IncomingHttpHeaders, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import type { Reply } from "./Reply.ts"

export interface Seen {
  readonly path: string | undefined
  readonly headers: IncomingHttpHeaders
  // oxlint-disable-next-line typescript/no-explicit-any -- the fields of the requests of many tests
  readonly body: any
  /** Resolves when the connection is closed. */
  readonly closed: Promise<void>
  readonly at: number
}

const write = (response: ServerResponse, { body, headers = {}, status = 200, after = "end" }: Reply) => {
  response.writeHead(status, { "content-type": "text/event-stream", "x-request-id": "r-1", ...headers })
  for (const piece of body) response.write(piece)
  if (after === "end") response.end()
  // After the body has left.
  if (after === "cut") setImmediate(() => response.destroy())
}

export interface Loopback extends AsyncDisposable {
  readonly baseUrl: string
  readonly seen: ReadonlyArray<Seen>
  /** The body of a request. */
  readonly body: (index: number) => Seen["body"]
}

/** Starts a server. The last reply is repeated. */
export const serve = (...replies: ReadonlyArray<Reply>): Promise<Loopback> =>
  serveEach((_, before) => replies[Math.min(before.length, replies.length - 1)])

/** Starts a server with replies by the first name in the path, each one after the other. */
export const serveScenes = (scenes: Readonly<Record<string, ReadonlyArray<Reply>>>): Promise<Loopback> =>
  serveEach(({ path = "" }, before) => {
    const scene = path.split("/")[1] ?? ""
    return scenes[scene]?.[before.filter((seen) => seen.path?.startsWith(`/${scene}/`) === true).length]
  })

/** Chooses the reply to a request after the requests before it. Without one the connection is closed. */
type Choose = (request: Seen, before: ReadonlyArray<Seen>) => Reply | undefined

/** Starts a server that chooses its replies. */
export const serveEach = async (choose: Choose): Promise<Loopback> => {
  const seen: Array<Seen> = []
  const server = createServer((request, response) => {
    response.setHeader("access-control-allow-origin", "*").setHeader("access-control-expose-headers", "*")
    if (request.method === "OPTIONS") {
      response.writeHead(204, { "access-control-allow-headers": "authorization, content-type, user-agent" }).end()
      return
    }
    const { promise, resolve } = Promise.withResolvers<void>()
    response.once("close", resolve)
    let text = ""
    request.setEncoding("utf8").on("data", (more: string) => (text += more))
    request.on("end", () => {
      const now = { path: request.url, headers: request.headers, body: JSON.parse(text), closed: promise, at: performance.now() }
      const reply = choose(now, seen)
      seen.push(now)
      if (reply === undefined) response.destroy()
      else write(response, reply)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  return {
    baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    seen,
    body: (index) => {
      const request = seen[index]
      if (request === undefined) throw new Error(`There were ${seen.length} requests`)
      return request.body
    },
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      })
  }
}
